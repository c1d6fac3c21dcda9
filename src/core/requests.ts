/** Requests and their answers, which come back on the session that sent the request, without a queue of their own. */
import { randomUUID } from 'node:crypto'
import type { Codecs } from './codecs.ts'
import { Delivery } from './delivery.ts'
import { ClosedError, RequestError, UnsupportedError } from './errors.ts'
import { type PublishRequest, Publisher, type PublisherOptions } from './publisher.ts'
import type { Incoming, Session } from './transport.ts'

export interface RequestsOptions extends PublisherOptions {
  readonly codecs: Codecs
}

interface Waiting {
  /** The broker has it, so that it is not sent again: its answer comes on the session it was taken on, or never. */
  taken: boolean
  readonly resolve: (answer: Delivery) => void
  readonly reject: (error: Error) => void
}

export class Requests {
  readonly #options: RequestsOptions
  readonly #publisher: Publisher
  /** By correlation id. */
  readonly #waiting = new Map<string, Waiting>()
  #unsupported = false

  constructor(options: RequestsOptions) {
    this.#options = options
    this.#publisher = new Publisher(options)
  }

  /** Requests sent and not settled by the broker. */
  get unsettled(): number {
    return this.#publisher.unsettled
  }

  /** Resolves with the answer. Rejects as `Connection.request` says. */
  async request(request: PublishRequest): Promise<Delivery> {
    if (this.#unsupported) throw unsupported()
    const { deadlineMs, signal } = request
    const { clock } = this.#options
    const endsAt = clock.monotonic() + deadlineMs
    const { promise: answer, resolve, reject } = Promise.withResolvers<Delivery>()
    const correlationId = randomUUID()
    const waiting: Waiting = { taken: false, resolve, reject }
    this.#waiting.set(correlationId, waiting)
    const onAbort = (): void => reject(new RequestError('Waiting for an answer was aborted', 'aborted', { cause: signal?.reason }))
    signal?.addEventListener('abort', onAbort, { once: true })
    const properties = { ...request.properties, correlationId }
    try {
      // An answer may overtake the broker's confirm.
      await Promise.race([answer, this.#publisher.publish({ ...request, properties, mustRoute: true })])
      waiting.taken = true
      const late = new RequestError(`The broker took the request, and no answer came within ${deadlineMs} ms`, 'timeout')
      const timer = clock.after(Math.max(0, endsAt - clock.monotonic()), () => reject(late))
      return await answer.finally(() => timer.cancel())
    } finally {
      this.#waiting.delete(correlationId)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** A fresh session: requests the broker has not taken are sent again on it. */
  attach(session: Session): void {
    const requester = session.requests?.({
      onAnswer: (incoming) => this.#answered(incoming),
      onLost: (reason) => this.#lost(reason),
    })
    this.#unsupported = requester === undefined
    if (requester) this.#publisher.attach(requester)
    else this.#rejectAll(unsupported())
  }

  detach(): void {
    this.#publisher.detach()
    this.#lost('the connection was lost')
  }

  block(blocked: boolean): void {
    this.#publisher.block(blocked)
  }

  /** Gives up every request at once. */
  async close(): Promise<void> {
    this.#rejectAll(new ClosedError('The connection was closed before the answer came'))
    await this.#publisher.close(0)
  }

  #answered(incoming: Incoming): void {
    const answer = new Delivery(incoming, this.#options.codecs, () => true)
    // An answer nobody waits for any more came too late.
    this.#waiting.get(answer.properties.correlationId ?? '')?.resolve(answer)
  }

  #lost(why: string): void {
    const error = new RequestError(`The answer cannot come any more, since ${why}; the request may have been handled`, 'lost')
    for (const { taken, reject } of this.#waiting.values()) {
      if (taken) reject(error)
    }
  }

  #rejectAll(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
  }
}

const unsupported = (): UnsupportedError =>
  new UnsupportedError('This broker cannot send answers straight back: request() needs directReply')
