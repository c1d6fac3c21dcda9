import type { Entry } from './message.ts'
import type { Writes } from './store.ts'

/** What became of a publish. `unrouted`: no queue wanted it, which is no failure. */
export type Outcome = 'routed' | 'unrouted' | 'refused' | 'failed'

export interface Publisher {
  /** Its publish is taken although there is an alarm. */
  readonly privileged: boolean
  /** `refused`: a full queue did not take it. `failed`: it could not be stored. In the order of publishing. */
  settled(id: number, outcome: Outcome, reason: string): void
}

interface Published {
  readonly publisher: Publisher
  readonly id: number
  readonly outcome: Outcome
  readonly reason: string
}

/** Everything that happened since the last commit. */
export class Batch {
  readonly published: Published[] = []
  /** New messages, published or dead-lettered, in order. */
  readonly incoming: Entry[] = []
  /** Messages that leave as dead letters, in the same transaction as their copies come. */
  readonly moved: Entry[] = []
  readonly removed: Entry[] = []
  readonly returned: Entry[] = []

  get empty(): boolean {
    return this.mayWait && this.removed.length === 0
  }

  /** Nobody waits for it, and nothing is lost if it never happens. */
  get mayWait(): boolean {
    return this.published.length === 0 && this.moved.length === 0 && this.returned.length === 0
  }

  /** What the store must do, or undefined when there is nothing. */
  writes(): Writes | undefined {
    const inserts = this.incoming.filter(isKept)
    const deletes = this.removed.filter(isKept)
    for (const entry of this.moved) if (isKept(entry)) deletes.push(entry)
    const returns = this.returned.filter(isKept)
    return inserts.length + deletes.length + returns.length === 0 ? undefined : { inserts, deletes, returns }
  }

  /** The part that needs no room: messages that were settled. */
  removals(): Writes | undefined {
    const deletes = this.removed.filter(isKept)
    return deletes.length === 0 ? undefined : { inserts: [], deletes, returns: [] }
  }
}

// The rows of a deleted queue are gone with it.
const isKept = (entry: Entry): boolean => entry.stored && !entry.queue.deleted
