import type { Clock, Timer } from '../../core/clock.ts'
import { Batch } from './batch.ts'
import type { Queue } from './queue.ts'
import { internalError, resourceError } from './refusals.ts'
import { type Store, StoreFailedError, StoreFullError, type Writes } from './store.ts'

/** After a failed commit, when what was settled in it is tried again. Milliseconds. */
const RETRY_MS = 250
/** How long settled messages wait for company before a transaction of their own, and how many at most. Milliseconds. */
const LINGER_MS = 10
const LINGERING = 1000
const FAILED = 'the store of the broker failed'

export interface LedgerOptions {
  readonly clock: Clock
  readonly store: Store | undefined
  /** Calls back when the current turn of the event loop is over. */
  readonly defer: (callback: () => void) => void
  readonly onFull: (error: StoreFullError, refused: number) => void
  readonly onFailed: (error: unknown) => void
}

/**
 * Gathers what happens in one turn of the event loop into one transaction, and lets it have effect only after the commit:
 * messages become ready, publishers hear of it, queues deliver. Settled messages alone have theirs some turns later, since
 * nobody waits for it: should the broker die before, they come again, as they would had their acks come too late.
 */
export class Ledger {
  readonly #options: LedgerOptions
  #batch = new Batch()
  #touched = new Set<Queue>()
  #scheduled = false
  #lingering: Timer | undefined
  #failed: unknown

  constructor(options: LedgerOptions) {
    this.#options = options
  }

  /** What belongs to the next transaction; add to it, and it will be committed. */
  get batch(): Batch {
    this.schedule()
    return this.#batch
  }

  /** The queue will look at its consumers after the next commit. */
  touch(queue: Queue): void {
    this.#touched.add(queue)
    this.schedule()
  }

  schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#options.defer(() => {
      if (this.#scheduled) this.#endTurn()
    })
  }

  /** Commits now. Never throws: publishers hear of a failure. */
  flush(): void {
    this.#scheduled = false
    this.#lingering?.cancel()
    this.#lingering = undefined
    const batch = this.#batch
    this.#batch = new Batch()
    const problem = this.#commit(batch)
    if (problem === undefined) this.#settle(batch)
    else this.#undo(batch, problem)
    this.#pump()
  }

  /** A change of the topology: a transaction of its own, after everything before it. Throws 506 when there is no room. */
  change<T>(operation: () => T): T {
    if (!this.#batch.empty) this.flush()
    if (this.#failed !== undefined) throw internalError(FAILED)
    try {
      return operation()
    } catch (error) {
      if (error instanceof StoreFullError) throw resourceError(error.message)
      if (!(error instanceof StoreFailedError)) throw error
      this.#fail(error)
      throw internalError(FAILED)
    }
  }

  #endTurn(): void {
    const { store, clock } = this.#options
    if (!store || !this.#batch.mayWait || this.#batch.removed.length >= LINGERING) return this.flush()
    this.#scheduled = false
    this.#lingering ??= clock.after(LINGER_MS, () => this.flush(), { unref: true })
    this.#pump()
  }

  /** Returns what went wrong. */
  #commit(batch: Batch): string | undefined {
    if (this.#failed !== undefined) return FAILED
    const writes = batch.writes()
    const full = writes && this.#write(writes)
    if (full === undefined) return this.#failed === undefined ? undefined : FAILED
    this.#options.onFull(full, batch.published.length)
    // What was settled is gone from memory already. Removing it alone may need no room; if it does, it is tried again.
    const removals = batch.removals()
    if (removals && this.#write(removals)) {
      this.#batch.removed.push(...batch.removed)
      this.#options.clock.after(RETRY_MS, () => this.schedule(), { unref: true })
    }
    return full.message
  }

  #write(writes: Writes): StoreFullError | undefined {
    try {
      this.#options.store?.commit(writes)
    } catch (error) {
      if (error instanceof StoreFullError) return error
      this.#fail(error)
    }
    return undefined
  }

  #settle(batch: Batch): void {
    for (const entry of batch.incoming) {
      if (entry.queue.deleted) continue
      entry.queue.admit(entry)
      this.#touched.add(entry.queue)
    }
    for (const { publisher, id, outcome, reason } of batch.published) publisher.settled(id, outcome, reason)
  }

  #undo(batch: Batch, reason: string): void {
    for (const entry of batch.incoming) entry.queue.forsake(entry)
    const back = batch.moved.filter((entry) => !entry.queue.deleted)
    for (const entry of back) entry.queue.giveBack(entry)
    if (back.length > 0) {
      this.#options.clock.after(
        RETRY_MS,
        () => {
          for (const entry of back) this.touch(entry.queue)
        },
        { unref: true },
      )
    }
    for (const { publisher, id, outcome } of batch.published) {
      if (outcome === 'routed') publisher.settled(id, 'failed', reason)
      else publisher.settled(id, outcome, '')
    }
  }

  #pump(): void {
    const touched = this.#touched
    if (touched.size === 0 || this.#failed !== undefined) return
    this.#touched = new Set()
    try {
      for (const queue of touched) queue.pump()
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    if (this.#failed !== undefined) return
    this.#failed = error
    this.#options.onFailed(error)
  }
}
