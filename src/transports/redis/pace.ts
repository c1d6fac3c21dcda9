import type { Clock } from '../../core/clock.ts'

/** What a link must carry at least for us to use it. Bytes a second. */
const SLOWEST = 16 << 10
/** A script holds up all others while it runs, so it is given no more at a time. Bytes. */
const MOST = 1 << 20

/**
 * How much may go at a time in one direction of a link. Redis says nothing while it reads or writes, so that an answer must come well
 * within the heartbeats: the amount begins with what a slow link carries in that time, and follows what this one carries.
 */
export class Pace {
  readonly #clock: Clock
  readonly #withinMs: number
  readonly #least: number
  #bytes: number
  #answeredAt = -Infinity

  /** `withinMs` is how long one amount may take; two may be on their way. */
  constructor(clock: Clock, withinMs: number) {
    this.#clock = clock
    this.#withinMs = withinMs
    this.#least = Math.max(1, Math.min(MOST, Math.floor((SLOWEST * withinMs) / 1_000)))
    this.#bytes = this.#least
  }

  /** Bytes to send, or to ask for, at a time. A single message may be larger. */
  get bytes(): number {
    return this.#bytes
  }

  /** Does what carries bytes, and learns from how long they took. */
  async carry<T>(task: () => Promise<T>, bytesOf: (answer: T) => number): Promise<T> {
    const beganAt = this.#clock.monotonic()
    const answer = await task()
    const now = this.#clock.monotonic()
    // What was sent before had to get through first.
    this.#learn(bytesOf(answer), now - Math.max(beganAt, this.#answeredAt))
    this.#answeredAt = now
    return answer
  }

  #learn(bytes: number, ms: number): void {
    // Little says nothing of a link: its answer waited for something else.
    if (bytes < this.#bytes / 2) return
    if (ms <= this.#withinMs / 2) this.#bytes = Math.min(MOST, this.#bytes * 2)
    else if (ms > this.#withinMs) this.#bytes = Math.max(this.#least, Math.min(MOST, Math.floor((bytes * this.#withinMs) / ms)))
  }
}
