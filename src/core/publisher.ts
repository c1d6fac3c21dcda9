/**
 * Publishing that always settles: when the broker has taken the message, by its deadline, or by its AbortSignal.
 * What a dead session left unconfirmed is sent again on the next one, in order; what is in flight is bounded.
 */
import type { Clock, Timer } from './clock.ts'
import { ClosedError, PublishError } from './errors.ts'
import { type Linked, LinkedList } from './linked-list.ts'
import type { MessageProperties, Outgoing, PublishResult } from './message.ts'
import type { Requester } from './transport.ts'

export interface PublishOutcome {
  /** False when the broker took the message and no queue wanted it. */
  readonly routed: boolean
}

export interface PublishRequest {
  readonly exchange: string
  readonly routingKey: string
  readonly body: Uint8Array
  readonly properties: MessageProperties
  /** An unroutable message rejects. */
  readonly mustRoute: boolean
  readonly deadlineMs: number
  readonly signal: AbortSignal | undefined
}

export interface PublisherOptions {
  /** Most messages unconfirmed at a time; more wait their turn. */
  readonly maxInFlight: number
  readonly clock: Clock
  /** Why the link is down, for the error of a publish that ran out of time. */
  readonly whyDown: () => Error | undefined
}

class Pending implements Outgoing, Linked<Pending> {
  list: object | undefined
  previous: Pending | undefined
  next: Pending | undefined
  readonly exchange: string
  readonly routingKey: string
  readonly body: Uint8Array
  readonly properties: MessageProperties
  // Always asked for, because the outcome tells `routed`; whether it is an error is `mustRoute`.
  readonly mandatory = true
  readonly mustRoute: boolean
  readonly deadlineAt: number
  readonly deadlineMs: number
  readonly resolve: (outcome: PublishOutcome) => void
  readonly reject: (error: Error) => void
  stopListening: (() => void) | undefined

  constructor(request: PublishRequest, now: number, resolve: (outcome: PublishOutcome) => void, reject: (error: Error) => void) {
    this.exchange = request.exchange
    this.routingKey = request.routingKey
    this.body = request.body
    this.properties = request.properties
    this.mustRoute = request.mustRoute
    this.deadlineMs = request.deadlineMs
    this.deadlineAt = now + request.deadlineMs
    this.resolve = resolve
    this.reject = reject
  }
}

export class Publisher {
  readonly #options: PublisherOptions
  /** Handed to the session, or to be handed to the next; in order. */
  readonly #inFlight = new LinkedList<Pending>()
  /** Not yet admitted to the window; in order. */
  readonly #waiting = new LinkedList<Pending>()
  /** Admitted in this turn of the event loop, to be handed over as one batch. */
  #batch: Pending[] = []
  #session: Requester | undefined
  #blocked = false
  #timer: Timer | undefined
  #timerAt = Infinity
  #drained: (() => void) | undefined

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** Messages accepted and not settled. */
  get unsettled(): number {
    return this.#inFlight.size + this.#waiting.size
  }

  publish(request: PublishRequest): Promise<PublishOutcome> {
    return new Promise((resolve, reject) => {
      const { signal } = request
      const pending = new Pending(request, this.#options.clock.monotonic(), resolve, reject)
      if (signal) {
        if (signal.aborted) return reject(aborted(pending, signal))
        const onAbort = (): void => this.#settle(pending, aborted(pending, signal))
        signal.addEventListener('abort', onAbort, { once: true })
        pending.stopListening = () => signal.removeEventListener('abort', onAbort)
      }
      if (this.#inFlight.size < this.#options.maxInFlight) this.#admit(pending)
      else this.#waiting.add(pending)
      this.#watch(pending.deadlineAt)
    })
  }

  /** A fresh session: everything unsettled is sent again on it. */
  attach(session: Requester): void {
    this.#session = session
    this.#batch = this.#inFlight.toArray()
    this.#flush()
  }

  detach(): void {
    this.#session = undefined
  }

  /** While blocked nothing new is sent; what waits keeps its deadline. True when that is news. */
  block(blocked: boolean): boolean {
    if (this.#blocked === blocked) return false
    this.#blocked = blocked
    if (!blocked) this.#flush()
    return true
  }

  /** Resolves when nothing is unsettled, or after `deadlineMs`; then rejects what is left. */
  async close(deadlineMs: number): Promise<void> {
    if (this.unsettled > 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#drained = resolve
      const timer = this.#options.clock.after(deadlineMs, resolve)
      await promise
      timer.cancel()
    }
    for (const pending of this.#all())
      this.#settle(pending, new PublishError('The connection was closed before the broker confirmed', 'closed', idOf(pending)))
    this.#timer?.cancel()
  }

  #admit(pending: Pending): void {
    this.#inFlight.add(pending)
    if (this.#batch.push(pending) === 1) queueMicrotask(this.#flush)
  }

  readonly #flush = (): void => {
    if (this.#session === undefined || this.#blocked || this.#batch.length === 0) return
    const batch = this.#batch
    this.#batch = []
    this.#session.publish(batch, this.#onResult)
  }

  readonly #onResult = (message: Outgoing, result: PublishResult): void => {
    const pending = message as Pending
    if (result.status === 'confirmed' && (result.routed || !pending.mustRoute)) this.#settle(pending, undefined, result.routed)
    else if (result.status === 'confirmed') this.#settle(pending, unroutable(pending))
    else this.#settle(pending, new PublishError(`The broker ${result.status} the message: ${result.reason}`, result.status, idOf(pending)))
  }

  #settle(pending: Pending, error: Error | undefined, routed = false): void {
    const left = this.#inFlight.delete(pending) || this.#waiting.delete(pending)
    if (!left) return
    pending.stopListening?.()
    if (error) {
      this.#batch = this.#batch.filter((other) => other !== pending)
      pending.reject(error)
    } else pending.resolve({ routed })
    for (let next = this.#waiting.first; next && this.#inFlight.size < this.#options.maxInFlight; next = this.#waiting.first) {
      this.#waiting.delete(next)
      this.#admit(next)
    }
    if (this.unsettled === 0) this.#drained?.()
  }

  /** One timer for all, set for the earliest deadline it has been told of. */
  #watch(deadlineAt: number): void {
    if (deadlineAt >= this.#timerAt) return
    this.#timer?.cancel()
    this.#timerAt = deadlineAt
    this.#timer = this.#options.clock.after(Math.max(0, deadlineAt - this.#options.clock.monotonic()), () => this.#expire())
  }

  #expire(): void {
    this.#timerAt = Infinity
    const now = this.#options.clock.monotonic()
    let next = Infinity
    for (const pending of this.#all()) {
      if (pending.deadlineAt <= now) this.#settle(pending, this.#timedOut(pending))
      else next = Math.min(next, pending.deadlineAt)
    }
    if (next < Infinity) this.#watch(next)
  }

  #timedOut(pending: Pending): PublishError {
    const cause = this.#options.whyDown()
    const why =
      this.#session === undefined
        ? `not connected${cause ? ` (${cause.message})` : ''}`
        : this.#blocked
          ? 'the broker blocks publishers'
          : 'no answer from the broker'
    return new PublishError(`Not confirmed within ${pending.deadlineMs} ms: ${why}`, 'timeout', { ...idOf(pending), cause })
  }

  #all(): Pending[] {
    return [...this.#inFlight.toArray(), ...this.#waiting.toArray()]
  }
}

function unroutable(pending: Pending): PublishError {
  const where =
    pending.exchange === ''
      ? `there is no queue "${pending.routingKey}"`
      : `exchange "${pending.exchange}" has no queue for routing key "${pending.routingKey}"`
  return new PublishError(`The message could not be routed: ${where}`, 'unroutable', idOf(pending))
}

function aborted(pending: Pending, signal: AbortSignal): Error {
  return signal.reason instanceof ClosedError
    ? signal.reason
    : new PublishError('Publishing was aborted', 'aborted', { ...idOf(pending), cause: signal.reason })
}

function idOf(pending: Pending): { messageId: string | undefined } {
  return { messageId: pending.properties.messageId }
}
