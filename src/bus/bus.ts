/** The bus: publish events, run consumers, stop cleanly. Everything it does goes through one `Connection`. */
import { channel } from 'node:diagnostics_channel'
import { systemClock } from '../core/clock.ts'
import type { Connection } from '../core/connection.ts'
import type { ConnectionEvent } from '../core/connection-options.ts'
import type { Delivery } from '../core/delivery.ts'
import type { Queue } from '../core/entities.ts'
import { ClosedError, ConfigError, ConnectionError, messageOf, type Problem, PublishError } from '../core/errors.ts'
import { show } from '../core/options.ts'
import type { ResultStore } from '../core/results.ts'
import { type CallOptions, type SendOptions, TaskCaller } from './celery/caller.ts'
import type { Task } from './celery/task.ts'
import { type ConsumerDefinition, type Published, type PublishEventOptions, isConsumerDefinition, isSingle } from './consume.ts'
import { type EventProperties, idOf, propertiesOf, typeOf } from './envelope.ts'
import { type Event, eventsExchange, validate } from './event.ts'
import { type Outbox, type OutboxPublisher, Relay, type RelayFailure, storedText } from './outbox.ts'
import { type Outcome, Pipeline } from './pipeline.ts'
import { deadLetterQueue } from './retry.ts'
import { type RunningConsumer, runningConsumer } from './running-consumer.ts'

export interface BusOptions {
  /** Queues that must exist before anything is published, so that no message misses them. */
  readonly declares?: readonly Queue[]
  /** Who publishes; every message carries it as `appId`. @default 'omnibus' */
  readonly source?: string
  /** Everything worth a log line; also on the diagnostics channel `omnibus:bus`. Must not throw. */
  readonly onEvent?: (event: BusEvent) => void
}

export type BusEvent =
  | { readonly type: 'connection'; readonly event: ConnectionEvent }
  | {
      readonly type: 'message'
      readonly outcome: Outcome
      readonly queue: string
      readonly id: string
      readonly event: string
      readonly attempt: number
    }
  /** Of an outbox. */
  | ({ readonly type: 'relay' } & RelayFailure)

const diagnostics = channel('omnibus:bus')

export class Bus {
  readonly #connection: Connection
  readonly #caller: TaskCaller
  readonly #results: ResultStore | undefined
  readonly #options: BusOptions
  readonly #running = new Set<RunningConsumer>()
  readonly #relays: Relay[] = []
  #declared: Promise<unknown> | undefined
  #closed: Promise<void> | undefined

  /** Use `createBus()`. `open` makes the connection, which reports to the given listener. @internal */
  constructor(open: (onEvent: (event: ConnectionEvent) => void) => Connection, options: BusOptions = {}, results?: ResultStore) {
    this.#results = results
    this.#options = options
    this.#connection = open((event) => {
      if (event.type === 'down' && event.purpose === 'consume') this.#caller.lost()
      this.#report({ type: 'connection', event })
    })
    this.#caller = new TaskCaller({ connection: this.#connection, results, source: this.#source })
  }

  get #source(): string {
    return this.#options.source ?? 'omnibus'
  }

  /** Every link to the broker that is needed is up. */
  get connected(): boolean {
    return this.#connection.connected
  }

  /** `close()` was called. */
  get closed(): boolean {
    return this.#closed !== undefined
  }

  /** Resolves when connected and `declares` exist. Rejects with `ConnectionError` or `TopologyError`. */
  async ready(options: { deadlineMs?: number } = {}): Promise<void> {
    await this.#connection.ready(options)
    await this.#declare()
  }

  /**
   * Resolves when the broker has kept the event. Rejects with `ValidationError` before anything is sent, and with
   * `PublishError` by the deadline (10 s) at the latest.
   */
  async publish<Input>(event: Event<Input, unknown>, data: NoInfer<Input>, options: PublishEventOptions = {}): Promise<Published> {
    if (this.#closed) throw new ClosedError('The bus is closed')
    checkPublish(event, options)
    await validate(event, data)
    return this.#send(propertiesOf(event as Event<never, unknown>, this.#source, systemClock.wall(), options), data, options)
  }

  async #send(properties: EventProperties, data: unknown, options: PublishEventOptions): Promise<Published> {
    const { compression, deadlineMs = 10_000, signal } = options
    const endsAt = systemClock.monotonic() + deadlineMs
    await this.#declareWithin(deadlineMs, properties.messageId)
    const { routed } = await this.#connection.publish(eventsExchange.name, properties.type, data, {
      ...properties,
      // A fact that nobody wants to hear is no error.
      mandatory: false,
      deadlineMs: Math.max(0, endsAt - systemClock.monotonic()),
      ...(compression && { compression }),
      ...(signal && { signal }),
    })
    return { id: properties.messageId, routed }
  }

  /**
   * Events in step with a database: they are written in the transaction that their publisher is given, and sent when it is committed. This
   * bus sends them, as does every other with this outbox, one at a time and as often as it takes; the consumers' inboxes see to the rest.
   * Throws `ConfigError`.
   */
  outbox<Transaction>(outbox: Outbox<Transaction>): OutboxPublisher<Transaction> {
    if (this.#closed) throw new ClosedError('The bus is closed')
    if (typeof outbox?.relay !== 'function')
      throw new ConfigError('outbox()', [{ path: 'outbox', expected: 'an outbox, such as postgresOutbox(pool)', got: show(outbox) }])
    this.#relays.push(
      new Relay({
        outbox,
        publish: (properties, data) => this.#send(properties, data, {}),
        onFailure: (failure) => this.#report({ type: 'relay', ...failure }),
        clock: systemClock,
      }),
    )
    return {
      publish: async (transaction, event, data, options = {}) => {
        checkPublish(event, options)
        const { id, text } = await storedText(event, data, { source: this.#source, now: systemClock.wall(), options })
        await outbox.add(transaction, text)
        return { id }
      },
    }
  }

  /**
   * Calls a task of a Celery worker, which has to have the same result backend, and resolves with its result. Rejects with `TaskError` for one that
   * failed, `PublishError` where no worker's queue takes the call, `RequestError` by `timeoutMs` or when the connection breaks, and `ValidationError`.
   */
  call<Args extends readonly unknown[], Result>(
    called: Task<Args, Result>,
    args: NoInfer<Args>,
    options: CallOptions = {},
  ): Promise<Result> {
    if (this.#closed) return Promise.reject(new ClosedError('The bus is closed'))
    return this.#caller.call(called, args, options)
  }

  /** The same without a result: resolves with the call's id when the broker has it. */
  async send<Args extends readonly unknown[]>(called: Task<Args>, args: NoInfer<Args>, options: SendOptions = {}): Promise<{ id: string }> {
    if (this.#closed) throw new ClosedError('The bus is closed')
    return { id: await this.#caller.send(called, args, options) }
  }

  /** Runs a consumer. Resolves once subscribed; rejects with `TopologyError` where a queue exists with other arguments. */
  async consume(definition: ConsumerDefinition): Promise<RunningConsumer> {
    if (this.#closed) throw new ClosedError('The bus is closed')
    if (!isConsumerDefinition(definition)) {
      throw new ConfigError('consume()', [{ path: 'definition', expected: 'what consume() or broadcast() returns', got: show(definition) }])
    }
    const stopping = new AbortController()
    const { policy, queue } = definition
    await this.#declare()
    if (policy.deadLetter) await this.#connection.declare(deadLetterQueue(queue))
    const pipeline = new Pipeline({
      definition,
      connection: this.#connection,
      results: this.#results,
      source: this.#source,
      publish: (event, data, options) => this.publish(event as Event<unknown, unknown>, data, options),
      signal: stopping.signal,
      clock: systemClock,
      onOutcome: (outcome, delivery, attempt) => this.#reportOutcome(outcome, delivery, attempt),
    })
    const consumer = await this.#connection.consume(queue, (delivery) => pipeline.run(delivery), {
      prefetch: policy.concurrency,
      ordered: isSingle(definition) && policy.concurrency === 1,
    })
    const lag = async (): Promise<number | undefined> =>
      queue.exclusive ? undefined : (await this.#connection.inspect(consumer.queueName)).messages
    const running = runningConsumer({ consumer, pipeline, lag, stopping, onStopped: () => this.#running.delete(running) })
    this.#running.add(running)
    return running
  }

  /** Stops consumers, waits for confirms, disconnects, all by the deadline. May be called twice. */
  close(options: { readonly deadlineMs?: number } = {}): Promise<void> {
    const { deadlineMs = 25_000 } = options
    this.#closed ??= this.#close(deadlineMs)
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(deadlineMs: number): Promise<void> {
    const endsAt = systemClock.monotonic() + deadlineMs
    this.#caller.close()
    await Promise.all([...this.#running].map((running) => running.stop({ deadlineMs })))
    await settledWithin(
      Math.max(0, endsAt - systemClock.monotonic()),
      this.#relays.map((relay) => relay.stop()),
    )
    await this.#connection.close({ deadlineMs: Math.max(0, endsAt - systemClock.monotonic()) })
    await this.#results?.close()
  }

  /** The exchange of all events, and what must not miss any; once, and again after a failure. */
  #declare(): Promise<unknown> {
    this.#declared ??= this.#connection.declare(eventsExchange, ...(this.#options.declares ?? [])).catch((error: unknown) => {
      this.#declared = undefined
      throw error
    })
    return this.#declared
  }

  async #declareWithin(deadlineMs: number, messageId: string): Promise<void> {
    let timer
    const late = new Promise<never>((_, reject) => {
      timer = systemClock.after(deadlineMs, () => reject(new ConnectionError(`not connected within ${deadlineMs} ms`)))
    })
    try {
      await Promise.race([this.#declare(), late])
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
      throw new PublishError(`Not confirmed: ${error.message}`, 'timeout', { cause: error, messageId })
    } finally {
      ;(timer as { cancel(): void } | undefined)?.cancel()
    }
  }

  #reportOutcome(outcome: Outcome, delivery: Delivery, attempt: number): void {
    if (outcome.type === 'handled' && !this.#options.onEvent && !diagnostics.hasSubscribers) return
    this.#report({ type: 'message', outcome, queue: delivery.queue, id: idOf(delivery), event: typeOf(delivery), attempt })
  }

  #report(event: BusEvent): void {
    this.#options.onEvent?.(event)
    diagnostics.publish(event)
    // Nobody listens: what would otherwise go unnoticed is still said.
    if (this.#options.onEvent || diagnostics.hasSubscribers) return
    if (event.type === 'connection' && event.event.type === 'down')
      process.emitWarning(`Bus: ${event.event.error.message}`, { code: 'OMNIBUS_BUS_DOWN' })
    if (event.type === 'relay') process.emitWarning(`Bus: outbox: ${messageOf(event.error)}`, { code: 'OMNIBUS_BUS_OUTBOX' })
    if (event.type === 'message' && !['handled', 'duplicate', 'postponed'].includes(event.outcome.type)) {
      process.emitWarning(`Bus: ${event.event} ${event.id} was ${event.outcome.type} by ${event.queue}`, { code: 'OMNIBUS_BUS_MESSAGE' })
    }
  }
}

function checkPublish(event: unknown, { delayMs = 0 }: Pick<PublishEventOptions, 'delayMs'>): void {
  const problems: Problem[] = []
  if ((event as { kind?: unknown } | undefined)?.kind !== 'event')
    problems.push({ path: 'event', expected: 'an event made by event()', got: show(event) })
  if (!Number.isSafeInteger(delayMs) || delayMs < 0)
    problems.push({ path: 'delayMs', expected: 'whole milliseconds from 0', got: show(delayMs) })
  if (problems.length > 0) throw new ConfigError('publish()', problems)
}

async function settledWithin(deadlineMs: number, promises: readonly Promise<unknown>[]): Promise<void> {
  if (promises.length === 0) return
  const over = Promise.withResolvers<void>()
  const timer = systemClock.after(deadlineMs, over.resolve)
  await Promise.race([Promise.allSettled(promises), over.promise])
  timer.cancel()
}
