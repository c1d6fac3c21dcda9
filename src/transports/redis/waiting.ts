import type { Clock, Timer } from '../../core/clock.ts'
import type { Link } from './link.ts'

/** What a subscription knows of its queue. */
export interface Waiter {
  /** The queue's lists, one per priority step. */
  readonly keys: readonly string[]
  state: 'live' | 'cancelling' | 'ended'
  /** The queue had less than was asked for, and is not asked again until somebody tells that there is something. */
  empty: boolean
  /** A bell rang since the queue was last asked, which the answer may be older than. */
  rung: boolean
  /** Redis will tell when one of the lists changes. */
  watched: boolean
  /** One of them has changed since the queue was last asked. */
  changed: boolean
  /** It is asked for that reason alone. */
  looking: boolean
}

export const newWaiter = (keys: readonly string[]): Waiter => ({
  keys,
  state: 'live',
  empty: false,
  rung: false,
  watched: false,
  changed: false,
  looking: false,
})

export interface WaitingOptions {
  readonly link: Link
  readonly clock: Clock
  /** Between looks into queues, should nobody have told of what is in them. Milliseconds. */
  readonly pollMs: number
  readonly waiters: ReadonlySet<Waiter>
  /** Asks every queue that is not known to be empty. */
  readonly ask: () => void
}

/** Between looks for what Redis has told of and others have taken. Milliseconds. */
const LATE_MS = 20

/**
 * Waiting without a blocking command, which would need a connection for each queue. What we publish rings a bell for one session that
 * waits; of what Kombu does, which rings none, Redis tells all who watch the list (client tracking). Should both fail there is a poll.
 */
export class Waiting {
  readonly #options: WaitingOptions
  /** When a look last found that another had been quicker. */
  #lateAt = -Infinity
  #look: Timer | undefined
  #poll: Timer | undefined

  constructor(options: WaitingOptions) {
    this.#options = options
    options.link.onChanged(this.#changed)
  }

  rang(waiter: Waiter): void {
    waiter.empty = false
    waiter.rung = true
  }

  asked(waiter: Waiter): void {
    waiter.rung = false
    waiter.changed = false
  }

  /** `all` is whether the queue had what was asked for. */
  answered(waiter: Waiter, { got, all }: { readonly got: number; readonly all: boolean }): void {
    waiter.empty = !all && !waiter.rung
    // What we change ourselves is not told to us, and nothing is any more.
    if (got > 0) waiter.watched = false
    else if (waiter.looking) this.#lateAt = this.#options.clock.monotonic()
    waiter.looking = false
    if (waiter.empty && !waiter.watched && waiter.state === 'live') this.#watch(waiter)
  }

  /** Call when there is nobody to ask. */
  rest(): void {
    const { clock, pollMs, waiters, ask } = this.#options
    if (this.#poll || ![...waiters].some(({ state, empty }) => state === 'live' && empty)) return
    this.#poll = clock.after(
      pollMs,
      () => {
        this.#poll = undefined
        for (const waiter of waiters) waiter.empty = false
        ask()
      },
      { unref: true },
    )
  }

  stop(): void {
    this.#poll?.cancel()
    this.#look?.cancel()
  }

  /** What was there before Redis watched is not told. */
  #watch(waiter: Waiter): void {
    const { link, ask } = this.#options
    waiter.watched = true
    link.watch(waiter.keys).then(
      (there) => {
        if (there === 0) return
        waiter.empty = false
        ask()
      },
      (error: unknown) => void link.verdict(error),
    )
  }

  /** All who wait for a queue are told, and one gets what came: whoever is late looks less often. `undefined` is any key. */
  readonly #changed = (key: string | undefined): void => {
    const { clock, waiters, ask } = this.#options
    for (const waiter of waiters) {
      if (key !== undefined && !waiter.keys.includes(key)) continue
      waiter.watched = false
      waiter.changed = true
    }
    this.#look ??= clock.after(Math.max(0, this.#lateAt + LATE_MS - clock.monotonic()), () => {
      this.#look = undefined
      for (const waiter of waiters) {
        // Else it was asked meanwhile, since a bell rang.
        if (!waiter.changed) continue
        waiter.empty = false
        waiter.looking = true
      }
      ask()
    })
  }
}
