import type { Consumer } from './consumer.ts'
import type { Departures } from './departures.ts'
import type { Entry } from './message.ts'
import type { Queue } from './queue.ts'
import { precondition } from './refusals.ts'

/** What a give-back is: only a failed one counts as a delivery. */
export type GiveBack = 'failed' | 'untouched'

/** What becomes of a delivery. */
export type Settlement = 'acked' | 'rejected' | GiveBack

export interface Unsettled {
  readonly tag: number
  readonly entry: Entry
  /** Absent for what was fetched by `get`. */
  readonly consumer: Consumer | undefined
}

/** What deliveries need of the engine around them. */
export interface DeliveriesHost {
  readonly departures: Departures
  touch(queue: Queue): void
}

/** What one channel has handed out, by tags in order; those that wait for an ack are kept. */
export class Deliveries {
  readonly #host: DeliveriesHost
  #byTag = new Map<number, Unsettled>()
  #lastTag = 0

  constructor(host: DeliveriesHost) {
    this.#host = host
  }

  /** Of those that wait for an ack. */
  get size(): number {
    return this.#byTag.size
  }

  /** For what comes from no queue. */
  nextTag(): number {
    return ++this.#lastTag
  }

  /** Returns the tag of a message that is handed out now; with `noAck` it is settled thereby. */
  add(entry: Entry, consumer: Consumer | undefined, noAck: boolean): number {
    const tag = ++this.#lastTag
    if (noAck) {
      this.#host.departures.acked(entry)
      return tag
    }
    // The store has it; what consumers hold must not fill the memory.
    if (entry.stored && entry.message?.body instanceof Uint8Array) entry.message = undefined
    entry.queue.unsettled++
    if (consumer) consumer.unsettled++
    this.#byTag.set(tag, { tag, entry, consumer })
    return tag
  }

  /** Takes out one, or with `multiple` all up to the tag, where 0 means all. Throws 406 for an unknown tag. */
  take(tag: number, multiple: boolean): readonly Unsettled[] {
    if (!multiple) {
      const found = this.#byTag.get(tag)
      if (!found) throw precondition(`unknown delivery tag ${tag}`)
      this.#byTag.delete(tag)
      return [found]
    }
    const taken: Unsettled[] = []
    for (const [known, found] of this.#byTag) {
      if (tag !== 0 && known > tag) break
      this.#byTag.delete(known)
      taken.push(found)
    }
    if (taken.length === 0 && tag !== 0) throw precondition(`unknown delivery tag ${tag}`)
    return taken
  }

  /** Puts some back to their places. */
  restore(found: readonly Unsettled[]): void {
    if (found.length === 0) return
    const all = [...this.#byTag.values(), ...found].toSorted((a, b) => a.tag - b.tag)
    this.#byTag = new Map(all.map((each) => [each.tag, each]))
  }

  /** Settles what was taken out. `atOnce`: as in `Departures.acked`. */
  settle({ entry, consumer }: Unsettled, how: Settlement, atOnce = false): void {
    const { departures } = this.#host
    entry.queue.unsettled--
    if (consumer) {
      consumer.unsettled--
      this.#host.touch(entry.queue)
    }
    if (how === 'acked') departures.acked(entry, atOnce)
    else if (how === 'rejected') departures.rejected(entry)
    else departures.givenBack(entry, how === 'failed')
  }
}
