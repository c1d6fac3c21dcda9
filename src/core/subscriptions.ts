/** The consumers of a connection, each subscribed again after every loss. */
import type { Clock } from './clock.ts'
import type { Consumer } from './consumer.ts'
import { by } from './deadline.ts'
import { ConnectionError } from './errors.ts'
import type { Link } from './link.ts'
import type { Session } from './transport.ts'

export interface SubscriptionsOptions {
  readonly clock: Clock
  /** The one to consume on. */
  readonly link: () => Link
  /** It is tried again. */
  readonly onRefused: (consumer: Consumer, error: unknown) => void
}

/** A broken subscription is tried again on the living session, soon at first, since a deleted queue is put back at once. Milliseconds. */
const RESUBSCRIBE_MIN_MS = 500
/** A queue the broker goes on refusing is changed by people, not by trying. Milliseconds. */
const RESUBSCRIBE_MAX_MS = 30_000

export class Subscriptions {
  readonly #options: SubscriptionsOptions
  readonly #consumers = new Set<Consumer>()

  constructor(options: SubscriptionsOptions) {
    this.#options = options
  }

  /** Resolves once subscribed. Rejects with `TopologyError`, or `ConnectionError` by the deadline or when refused for good. */
  async begin(consumer: Consumer, deadlineMs = Infinity): Promise<void> {
    const { clock, link } = this.#options
    const endsAt = clock.monotonic() + deadlineMs
    for (;;) {
      const session = await link().up(Math.max(0, endsAt - clock.monotonic()))
      // Taken up by `resume` if the session was replaced in between.
      if (consumer.subscribed) return
      try {
        await by(endsAt, clock, consumer.subscribe(session))
        this.#consumers.add(consumer)
        return
      } catch (error) {
        if (error instanceof ConnectionError && clock.monotonic() < endsAt) continue
        // An answer that comes too late is not to leave a subscription behind.
        void consumer.stop({ deadlineMs: 0 })
        throw error
      }
    }
  }

  delete(consumer: Consumer): void {
    this.#consumers.delete(consumer)
  }

  /** Resolves when every consumer is subscribed again, but for one whose queue the broker refuses. Rejects when the link dies. */
  async resume(session: Session): Promise<void> {
    for (const consumer of this.#consumers) {
      try {
        await consumer.subscribe(session)
      } catch (error) {
        if (error instanceof ConnectionError) throw error
        this.#options.onRefused(consumer, error)
        this.again(consumer)
      }
    }
  }

  /** Until it works, is stopped, or the session is replaced and `resume` takes over. */
  again(consumer: Consumer, afterMs = RESUBSCRIBE_MIN_MS): void {
    const { clock, link, onRefused } = this.#options
    clock.after(
      afterMs,
      () => {
        const { session } = link()
        if (session === undefined || consumer.subscribed || !this.#consumers.has(consumer)) return
        consumer.subscribe(session).catch((error: unknown) => {
          onRefused(consumer, error)
          this.again(consumer, Math.min(afterMs * 4, RESUBSCRIBE_MAX_MS))
        })
      },
      { unref: true },
    )
  }

  lost(): void {
    for (const consumer of this.#consumers) consumer.lost()
  }

  async stop(deadlineMs: number): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop({ deadlineMs })))
  }
}
