/**
 * A delivery's way: refuse what killed its process too often → find the handler → attempt: decode, validate and handle →
 * settle. Every way out settles the delivery exactly once, and a copy sent elsewhere is confirmed before the original
 * is acked.
 */
import { type Clock, sleep, type Timer } from '../core/clock.ts'
import { EncodedBody } from '../core/codecs.ts'
import type { Connection } from '../core/connection.ts'
import type { Delivery } from '../core/delivery.ts'
import type { Queue } from '../core/entities.ts'
import { CodecError, HandlerError, PublishError, messageOf } from '../core/errors.ts'
import type { ResultStore } from '../core/results.ts'
import { attempt, refused, type Verdict } from './attempt.ts'
import { whyNoCall } from './celery/message.ts'
import { tellFailure } from './celery/serve.ts'
import { ANY_TYPE, type ConsumerDefinition, type Handler, type Published, type PublishEventOptions } from './consume.ts'
import { attemptsOf, delayOf, header, idOf, typeOf } from './envelope.ts'
import type { Event } from './event.ts'
import { inboxKeyOf } from './inbox.ts'
import { Drop, Postpone, Transient } from './outcome.ts'
import { deadLetterQueue, stepMs, waitQueue } from './retry.ts'

/** What became of one message; worth a log line unless it was handled, now or before. */
export type Outcome =
  | { readonly type: 'handled' }
  /** By its inbox it was handled before: acked, and not handled again. */
  | { readonly type: 'duplicate' }
  /** Its time has not come. */
  | { readonly type: 'postponed'; readonly error: unknown; readonly afterMs: number }
  | { readonly type: 'retried'; readonly error: unknown; readonly afterMs: number }
  | { readonly type: 'dead-lettered' | 'dropped'; readonly error: unknown }
  /** Neither handled nor safely elsewhere: it stays with the broker and comes again, or is tried again here after a `Transient`. */
  | { readonly type: 'kept'; readonly error: unknown }

export interface PipelineOptions {
  readonly definition: ConsumerDefinition
  readonly connection: Connection
  /** Where results of tasks go; undefined: straight to the caller. */
  readonly results: ResultStore | undefined
  /** Who sends the tasks that come after others. */
  readonly source: string
  readonly publish: (event: Event<never, unknown>, data: unknown, options: PublishEventOptions) => Promise<Published>
  /** Aborts when whatever still runs must end. */
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly onOutcome: (outcome: Outcome, delivery: Delivery, attempt: number) => void
}

/** Before a message goes back whose copy could not be sent; the broker is in trouble, so hurry helps nobody. Milliseconds. */
const KEEP_PAUSE_MS = 1_000
/** Ids kept of messages that were handled without an ack. */
const REMEMBERED = 10_000
const NO_ID = 'It has no message id, without which an inbox cannot tell it from another: its publisher has to set one'

export class Pipeline {
  readonly #options: PipelineOptions
  readonly #handlers: ReadonlyMap<string, Handler<never>>
  readonly #deadLetters: Queue
  /** Messages being handled here: one that comes again after a lost link joins its own handler instead of running twice. */
  readonly #running = new Map<string, Promise<Verdict>>()
  /** Handled, but the link was lost before the ack: acked when they come again, not handled again. */
  readonly #handledButLost = new Set<string>()
  readonly #held = new Set<Timer>()
  readonly #closing = new AbortController()
  /** When each delivery at work here came, oldest first. */
  readonly #begun = new Set<{ readonly at: number; readonly id: string }>()
  #lastDoneAt: number | undefined
  #free: number
  readonly #queueing: (() => void)[] = []

  constructor(options: PipelineOptions) {
    this.#options = options
    const { handlers, policy, queue } = options.definition
    this.#handlers = new Map(handlers.map((handler) => [handler.type, handler]))
    this.#deadLetters = deadLetterQueue(queue)
    this.#free = policy.concurrency
  }

  /** How long the oldest delivery here has been at work; undefined where there is none. Milliseconds. */
  get oldestMs(): number | undefined {
    const [oldest] = this.#begun
    return oldest && this.#options.clock.monotonic() - oldest.at
  }

  /** Ids of the messages it has in hand, the oldest first. */
  get inHand(): readonly string[] {
    return Array.from(this.#begun, ({ id }) => id)
  }

  /** Since a delivery last went all the way, whatever became of it; undefined where none has. Milliseconds. */
  get sinceProgressMs(): number | undefined {
    return this.#lastDoneAt === undefined ? undefined : this.#options.clock.monotonic() - this.#lastDoneAt
  }

  /** What it holds until its time has come is never handled, and what failed for a while is given back. */
  close(): void {
    this.#closing.abort()
    for (const timer of this.#held) timer.cancel()
    this.#held.clear()
  }

  /** Takes one delivery all the way. Never rejects. */
  async run(delivery: Delivery): Promise<void> {
    const begun = { at: this.#options.clock.monotonic(), id: idOf(delivery) }
    this.#begun.add(begun)
    await this.#run(delivery)
    this.#begun.delete(begun)
    this.#lastDoneAt = this.#options.clock.monotonic()
  }

  async #run(delivery: Delivery): Promise<void> {
    const attempt = attemptsOf(delivery) + 1
    const verdict = await this.#judge(delivery, attempt)
    let outcome: Outcome
    try {
      outcome = await this.#settle(delivery, verdict, attempt)
    } catch (error) {
      outcome = { type: 'kept', error }
      await sleep(KEEP_PAUSE_MS, { clock: this.#options.clock, signal: this.#options.signal }).catch(() => undefined)
      await delivery.requeue()
    }
    this.#options.onOutcome(outcome, delivery, attempt)
  }

  async #judge(delivery: Delivery, nth: number): Promise<Verdict> {
    const { maxDeaths } = this.#options.definition.policy
    const deaths = delivery.deliveryCount ?? 0
    if (deaths >= maxDeaths)
      return refused(new HandlerError(`Delivered ${deaths} times without an answer: its handler may be taking the process down`))
    // It names no event then, and would be taken for one that nobody here handles.
    if (delivery.unreadable) return refused(delivery.unreadable)
    const handler = this.#handlers.get(typeOf(delivery)) ?? this.#handlers.get(ANY_TYPE)
    if (!handler) return refused(this.#noHandler(delivery))
    const delayMs = delayOf(delivery, this.#options.clock.wall())
    if (delayMs !== undefined) return { done: false, error: new Postpone(delayMs), final: false }
    const { inbox } = this.#options.definition.policy
    const key = inbox && inboxKeyOf(this.#options.definition.queue, delivery)
    if (inbox && !key) return refused(new CodecError(NO_ID))
    const id = idOf(delivery)
    if (delivery.redelivered) {
      const joined = this.#running.get(id)
      if (joined) return joined
      if (this.#handledButLost.delete(id)) return { done: true, duplicate: false }
    }
    const once = inbox && key && { inbox, key }
    const verdict = this.#inTurn(() =>
      attempt({ options: this.#options, handler, delivery, attempt: nth, once, closing: this.#closing.signal }),
    )
    this.#running.set(id, verdict)
    try {
      return await verdict
    } finally {
      if (this.#running.get(id) === verdict) this.#running.delete(id)
    }
  }

  async #settle(delivery: Delivery, verdict: Verdict, attempt: number): Promise<Outcome> {
    const { definition, signal } = this.#options
    const { policy, queue, broadcast } = definition
    if (verdict.done) {
      const told = await delivery.ack()
      if (!told && delivery.lost) this.#remember(idOf(delivery))
      return { type: verdict.duplicate ? 'duplicate' : 'handled' }
    }
    const { error } = verdict
    // Given back already: a copy sent now would be one too many.
    if (!broadcast && (delivery.lost || delivery.settled)) return { type: 'kept', error }
    // A handler cut off by the stop has not failed: the message is given back as it was.
    if ((signal.aborted || error instanceof Transient) && !verdict.final) {
      await delivery.release()
      return { type: 'kept', error }
    }
    if (error instanceof Postpone) {
      const afterMs = stepMs(error.ms)
      if (broadcast) this.#hold(delivery, afterMs)
      else await this.#copy(waitQueue(queue, afterMs), delivery, {})
      await delivery.ack()
      return { type: 'postponed', error, afterMs }
    }
    if (broadcast || error instanceof Drop) {
      await delivery.ack()
      return { type: 'dropped', error }
    }
    if (!verdict.final && attempt < policy.retry.attempts) {
      const afterMs = verdict.afterMs ?? policy.retry.delayMs(attempt)
      await this.#copy(waitQueue(queue, afterMs), delivery, { [header.attempts]: attempt })
      await delivery.ack()
      return { type: 'retried', error, afterMs }
    }
    const told = await tellFailure(this.#options, delivery, error)
    if (!policy.deadLetter) {
      await delivery.reject()
      return { type: 'dropped', error: told }
    }
    await this.#copy(this.#deadLetters, delivery, {
      [header.deadReason]: messageOf(told).slice(0, 1_000),
      [header.deadQueue]: queue.name,
      [header.deadAttempts]: attempt,
      [header.deadAt]: new Date(this.#options.clock.wall()),
    })
    await delivery.ack()
    return { type: 'dead-lettered', error: told }
  }

  /** A queue of one's own ends with its consumer, and what waits in it may as well wait here. */
  #hold(delivery: Delivery, ms: number): void {
    const timer = this.#options.clock.after(
      ms,
      () => {
        this.#held.delete(timer)
        void this.run(delivery)
      },
      { unref: true },
    )
    this.#held.add(timer)
  }

  /**
   * Sends the message, with more headers, to another queue. Its expiration stays behind, for it is no longer waiting in
   * line; so do the user id, which a broker takes from that user alone, and further addresses, which have got it before.
   */
  async #copy(target: Queue, delivery: Delivery, more: Record<string, string | number | Date>): Promise<void> {
    const { connection } = this.#options
    const { expirationMs: _, userId: __, headers, ...properties } = delivery.properties
    const { CC: ___, BCC: ____, ...others } = headers ?? {}
    const body = new EncodedBody(delivery.body)
    try {
      await connection.publish(target, body, { ...properties, headers: { ...others, ...more } })
    } catch (error) {
      if (!(error instanceof PublishError && error.reason === 'refused')) throw error
      // Its headers, with ours added, may be more than a frame holds. The body still counts.
      await connection.publish(target, body, { ...properties, headers: { compression: others['compression'], ...more } })
    }
  }

  #noHandler(delivery: Delivery): CodecError {
    const why = whyNoCall(delivery)
    if (why !== undefined) return new CodecError(why)
    return new CodecError(`No handler here for "${typeOf(delivery)}" (there is one for ${[...this.#handlers.keys()].join(', ')})`)
  }

  #remember(id: string): void {
    this.#handledButLost.add(id)
    const [oldest] = this.#handledButLost
    if (this.#handledButLost.size > REMEMBERED && oldest !== undefined) this.#handledButLost.delete(oldest)
  }

  /** Bounds handlers at work even when a lost link brought more deliveries than the prefetch allows. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#queueing.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.#queueing.shift()
      if (next) next()
      else this.#free++
    }
  }
}
