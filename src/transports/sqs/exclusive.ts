/**
 * Queues that are one session's alone and go with it. SQS has none, so they are queues with a name of their owner on them, and a time until
 * which it is surely alive: when that is over, whoever finds them deletes them.
 */
import { randomUUID } from 'node:crypto'
import type { Clock, Timer } from '../../core/clock.ts'
import { ownerTags, type Tags } from './tags.ts'

/** A queue is its session's for so long, and is renewed every third of it. Milliseconds. */
const OURS_MS = 120_000

export class ExclusiveQueues {
  /** What they are tagged with. */
  readonly owner = randomUUID()
  readonly #clock: Clock
  /** Never rejects. */
  readonly #write: (url: string, tags: Tags) => Promise<unknown>
  /** Name → URL. */
  readonly #queues = new Map<string, string>()
  #renewal: Timer | undefined

  constructor(clock: Clock, write: (url: string, tags: Tags) => Promise<unknown>) {
    this.#clock = clock
    this.#write = write
  }

  get tags(): Tags {
    return ownerTags(this.owner, this.#clock.wall() + OURS_MS)
  }

  add(name: string, url: string): void {
    this.#queues.set(name, url)
    this.#renewal ??= this.#schedule()
  }

  remove(name: string): void {
    this.#queues.delete(name)
  }

  /** All of them, which are renewed no more. */
  end(): [name: string, url: string][] {
    this.#renewal?.cancel()
    return [...this.#queues]
  }

  #schedule(): Timer {
    const renew = (): void => {
      for (const url of this.#queues.values()) void this.#write(url, this.tags)
      this.#renewal = this.#schedule()
    }
    return this.#clock.after(OURS_MS / 3, renew, { unref: true })
  }
}
