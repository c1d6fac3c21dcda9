/**
 * The level below the bus, which is Kombu's: declare, publish, consume, get. Lazy, and it recovers by itself: publishing
 * and consuming have a link each, so that a broker that blocks publishers never stops consumers.
 */
import { systemClock } from './clock.ts'
import { Codecs, type CodecOptions } from './codecs.ts'
import type { ConnectionOptions, ConsumeOptions, Purpose } from './connection-options.ts'
import { Consumer, type DeliveryHandler } from './consumer.ts'
import { clearTextGuard } from './credentials.ts'
import { by } from './deadline.ts'
import { Delivery } from './delivery.ts'
import { type Exchange, type Queue, isExchange, isQueue } from './entities.ts'
import { ClosedError, ConfigError, ConnectionError } from './errors.ts'
import { Link } from './link.ts'
import type { Headers } from './message.ts'
import { show } from './options.ts'
import { type PublishArguments, publishRequest } from './publish-request.ts'
import { Publisher, type PublishOutcome } from './publisher.ts'
import { Requests } from './requests.ts'
import { Subscriptions } from './subscriptions.ts'
import { inspectExchange, Topology } from './topology.ts'
import type { Capabilities, QueueState, Session, Transport } from './transport.ts'

/** How `Connection` finds a transport: the table of schemes is the caller's, and loads lazily. */
export type TransportTable = (url: URL) => Promise<Transport>

interface LinkParts {
  readonly urls: readonly URL[]
  readonly table: TransportTable
  /** Throws where a broker is not to be connected to. */
  readonly admit: (url: URL) => void
  readonly bringUp: (session: Session) => Promise<void>
}

export class Connection {
  readonly #options: Required<Omit<ConnectionOptions, keyof CodecOptions | 'credentials'>> & Pick<ConnectionOptions, 'credentials'>
  readonly #codecs: Codecs
  readonly #publishing: Link
  readonly #consuming: Link
  readonly #publisher: Publisher
  readonly #requests: Requests
  readonly #topology: Topology
  readonly #subscriptions: Subscriptions
  #closed: Promise<void> | undefined

  /** Use `connect()`. Opens nothing yet. @internal */
  constructor(urls: readonly URL[], table: TransportTable, options: ConnectionOptions = {}) {
    this.#options = {
      name: 'omnibus',
      connectTimeoutMs: 5_000,
      heartbeatMs: 10_000,
      deadlineMs: 10_000,
      maxInFlight: 1_000,
      backoff: { minMs: 100, maxMs: 30_000 },
      clearText: 'warn',
      onEvent: () => undefined,
      clock: systemClock,
      ...options,
    }
    this.#codecs = new Codecs(options)
    const { clock, maxInFlight } = this.#options
    const sending = { maxInFlight, clock, whyDown: () => this.#publishing.lastError }
    this.#publisher = new Publisher(sending)
    this.#requests = new Requests({ ...sending, codecs: this.#codecs })
    this.#topology = new Topology((question, deadlineMs) => this.#ask(question, deadlineMs))
    this.#subscriptions = new Subscriptions({
      clock,
      link: () => this.#consuming,
      onRefused: ({ queueName }, error) => this.#options.onEvent({ type: 'resubscribe-failed', queue: queueName, error }),
    })
    const admit = clearTextGuard(this.#options)
    this.#publishing = this.#link('publish', { urls, table, admit, bringUp: (session) => this.#resume(session) })
    this.#consuming = this.#link('consume', { urls, table, admit, bringUp: (session) => this.#subscriptions.resume(session) })
  }

  /** Every link that has been begun is up. */
  get connected(): boolean {
    const links = [this.#publishing, this.#consuming].filter((link) => link.started)
    return links.length > 0 && links.every((link) => link.session !== undefined)
  }

  /** `close()` was called. */
  get closed(): boolean {
    return this.#closed !== undefined
  }

  /** Messages published and not yet settled. */
  get unconfirmed(): number {
    return this.#publisher.unsettled + this.#requests.unsettled
  }

  /** Resolves once connected for publishing. Rejects with `ConnectionError` by the deadline, or at once when refused for good. */
  async ready(options: { deadlineMs?: number } = {}): Promise<void> {
    await this.#publishing.up(options.deadlineMs ?? this.#options.deadlineMs)
  }

  /** What the broker behind this connection can do. Connects if need be. */
  async capabilities(): Promise<Capabilities> {
    await this.ready()
    return this.#publishing.transport!.capabilities
  }

  /**
   * Creates exchanges and queues (with the exchanges they are bound to) now and after every reconnect. Resolves with
   * the state of each queue. Rejects with `TopologyError` where one exists with other arguments.
   */
  async declare(...entities: readonly (Exchange | Queue)[]): Promise<QueueState[]> {
    const states: QueueState[] = []
    for (const entity of entities) {
      const state = await this.#topology.declare(entity)
      if (state) states.push(state)
    }
    return states
  }

  /**
   * Publishes to an exchange with a routing key, or straight to a queue. An entity is declared first, once; a name is
   * taken as it is. Resolves when the broker has taken the message; rejects with `PublishError` by the deadline at
   * the latest, or `CodecError` for a payload that cannot be written.
   */
  publish(target: Exchange | Queue | string, ...rest: PublishArguments): Promise<PublishOutcome> {
    // An async function would cost each message another promise.
    try {
      if (this.#closed) throw new ClosedError('The connection is closed')
      const request = publishRequest(target, rest, { codecs: this.#codecs, deadlineMs: this.#options.deadlineMs })
      this.#publishing.start()
      const declaring = this.#topology.declaring(target, request.deadlineMs)
      return declaring ? declaring.then(() => this.#publisher.publish(request)) : this.#publisher.publish(request)
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  /**
   * Publishes a request, as `publish` does, and resolves with its answer: what its consumer publishes to the exchange `''` with the request's
   * `replyTo` as routing key and its `correlationId`. It comes straight back, through no queue, and needs no ack. Rejects as `publish`, with
   * `RequestError` when the answer does not come by the deadline or the link it would come on breaks, and with `UnsupportedError`. A request
   * that the broker has taken is not sent again.
   */
  async request(target: Exchange | Queue | string, ...rest: PublishArguments): Promise<Delivery> {
    if (this.#closed) throw new ClosedError('The connection is closed')
    const request = publishRequest(target, rest, { codecs: this.#codecs, deadlineMs: this.#options.deadlineMs })
    const { replyTo, correlationId } = request.properties
    const taken = Object.entries({ replyTo, correlationId }).filter(([, value]) => value !== undefined)
    const problems = taken.map(([path, value]) => ({ path, expected: 'nothing, since request() sets it', got: show(value) }))
    if (problems.length > 0) throw new ConfigError('request()', problems)
    this.#publishing.start()
    await this.#topology.declaring(target, request.deadlineMs)
    return this.#requests.request(request)
  }

  /**
   * Subscribes to a queue, declared first, and again after every loss. Resolves once subscribed. Rejects with
   * `TopologyError`, or `ConnectionError` when the broker refuses us for good.
   */
  async consume(queue: Queue, handler: DeliveryHandler, options: ConsumeOptions = {}): Promise<Consumer> {
    if (this.#closed) throw new ClosedError('The connection is closed')
    if (!isQueue(queue)) throw new ConfigError('consume()', [{ path: 'queue', expected: 'a queue made by queue()', got: show(queue) }])
    const consumer: Consumer = new Consumer({
      queue,
      handler,
      prefetch: options.prefetch ?? 100,
      exclusive: options.exclusive ?? false,
      noAck: options.noAck ?? false,
      ordered: options.ordered ?? false,
      arguments: options.arguments ?? {},
      codecs: this.#codecs,
      clock: this.#options.clock,
      onHandlerFailed: (error, delivery) => this.#options.onEvent({ type: 'handler-failed', queue: delivery.queue, error }),
      onCancelled: (cancelled, reason) => {
        this.#options.onEvent({ type: 'cancelled', queue: cancelled.queueName, reason })
        this.#subscriptions.again(cancelled)
      },
      onStopped: (stopped) => this.#subscriptions.delete(stopped),
    })
    await this.#subscriptions.begin(consumer, options.deadlineMs)
    return consumer
  }

  /** Fetches one message, to be settled like any other; undefined when the queue is empty. */
  get(queue: Queue | string): Promise<Delivery | undefined> {
    return this.#ask(async (session) => {
      const incoming = await session.get(nameOf(queue))
      return incoming && new Delivery(incoming, this.#codecs, () => true)
    })
  }

  /**
   * Asks for a queue without creating it: resolves with its counts of ready messages and consumers. A plain name means a queue. Rejects
   * with `TopologyError` 404 where there is none.
   */
  inspect(queue: Queue | string): Promise<QueueState>
  /** The same for an exchange, of which its name alone is asked. Rejects with `UnsupportedError` where the broker cannot tell. */
  inspect(exchange: Exchange): Promise<void>
  inspect(entity: Exchange | Queue | string): Promise<unknown> {
    return this.#ask<unknown>((session) => (isExchange(entity) ? inspectExchange(session, entity) : session.inspect(nameOf(entity))))
  }

  /** Drops all ready messages; resolves with their number. */
  purge(queue: Queue | string): Promise<number> {
    return this.#ask((session) => session.purge(nameOf(queue)))
  }

  /** Removes one binding; one that does not exist is no error. */
  unbind(queue: Queue | string, exchange: Exchange | string, routingKey: string, bindingArguments: Headers = {}): Promise<void> {
    return this.#ask((session) => session.unbind(nameOf(queue), nameOf(exchange), routingKey, bindingArguments))
  }

  /** Deletes an exchange or a queue with what it holds. A plain name means a queue. */
  delete(entity: Exchange | Queue | string): Promise<void> {
    if (typeof entity !== 'string') this.#topology.forget(entity)
    return this.#ask((session) => (isExchange(entity) ? session.deleteExchange(entity.name) : session.deleteQueue(nameOf(entity))))
  }

  /**
   * Stops consumers (finish what they hold, give back the rest), waits for confirms, says goodbye. Resolves within
   * `deadlineMs`, plus what the broker takes to answer the goodbye. May be called twice.
   */
  close(options: { deadlineMs?: number } = {}): Promise<void> {
    this.#closed ??= this.#close(options.deadlineMs ?? 25_000)
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(deadlineMs: number): Promise<void> {
    const { clock } = this.#options
    const endsAt = clock.monotonic() + deadlineMs
    await this.#subscriptions.stop(deadlineMs)
    await this.#consuming.close()
    await this.#requests.close()
    await this.#publisher.close(Math.max(0, endsAt - clock.monotonic()))
    await this.#publishing.close()
  }

  #link(purpose: Purpose, { urls, table, admit, bringUp }: LinkParts): Link {
    const { name, connectTimeoutMs, heartbeatMs, backoff, clock, credentials } = this.#options
    return new Link({
      name: `${name} (${purpose})`,
      urls,
      transportFor: table,
      connectTimeoutMs,
      heartbeatMs,
      backoff,
      clock,
      credentials,
      onCredentialsFailed: (error) => this.#options.onEvent({ type: 'credentials-failed', error }),
      admit,
      bringUp,
      onUp: () => this.#options.onEvent({ type: 'up', purpose }),
      onDown: (error, retryInMs) => {
        if (purpose === 'publish') {
          this.#publisher.detach()
          this.#requests.detach()
        } else this.#subscriptions.lost()
        this.#options.onEvent({ type: 'down', purpose, error, retryInMs })
      },
      onWarned: (reason) => this.#options.onEvent({ type: 'warning', reason }),
      onBlocked: (reason) => {
        if (purpose === 'consume') return
        this.#requests.block(reason !== undefined)
        if (this.#publisher.block(reason !== undefined))
          this.#options.onEvent(reason === undefined ? { type: 'unblocked' } : { type: 'blocked', reason })
      },
    })
  }

  /** The publishing link is up when all that was declared through it exists again, but for what the broker refuses. */
  async #resume(session: Session): Promise<void> {
    await this.#topology.restore(session, ({ name }, error) => this.#options.onEvent({ type: 'redeclare-failed', name, error }))
    this.#publisher.attach(session)
    this.#requests.attach(session)
  }

  /** A question to the broker, asked again on the next session if the link dies under it. */
  async #ask<T>(question: (session: Session) => Promise<T>, deadlineMs = this.#options.deadlineMs): Promise<T> {
    if (this.#closed) throw new ClosedError('The connection is closed')
    const { clock } = this.#options
    const endsAt = clock.monotonic() + deadlineMs
    for (;;) {
      const session = await this.#publishing.up(Math.max(0, endsAt - clock.monotonic()))
      try {
        return await by(endsAt, clock, question(session))
      } catch (error) {
        const lost = error instanceof ConnectionError && !error.fatal
        if (!lost || clock.monotonic() >= endsAt) throw error
      }
    }
  }
}

function nameOf(entity: Exchange | Queue | string): string {
  return typeof entity === 'string' ? entity : entity.name
}
