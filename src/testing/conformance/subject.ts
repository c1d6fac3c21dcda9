/** The transport a conformance test works on, with what such tests need again and again. */
import { randomUUID } from 'node:crypto'
import { Connection } from '../../core/connection.ts'
import type { ConnectionOptions } from '../../core/connection-options.ts'
import { type Exchange, type ExchangeOptions, exchange, type Queue, queue, type QueueOptions, type QueueType } from '../../core/entities.ts'
import { ConnectionError } from '../../core/errors.ts'
import type { Outgoing, PublishResult } from '../../core/message.ts'
import type { Capabilities, Incoming, Session, SubscribeOptions, Subscription, Transport } from '../../core/transport.ts'
import { eventually } from '../eventually.ts'
import { type Breakable, breakable } from './breakable.ts'

export interface SubjectOptions {
  readonly transport: Transport
  readonly url: URL
  readonly queueType: QueueType
}

export interface Opened {
  readonly session: Session
  readonly deaths: readonly ConnectionError[]
}

export interface Consumed {
  readonly subscription: Subscription
  readonly deliveries: readonly Incoming[]
  /** As text. */
  readonly bodies: readonly string[]
  readonly cancellations: readonly string[]
}

export interface Connected extends Breakable {
  readonly connection: Connection
}

export class Subject {
  readonly capabilities: Capabilities
  readonly #options: SubjectOptions
  readonly #sessions: Session[] = []
  readonly #connections: Connection[] = []
  readonly #queues: string[] = []
  readonly #exchanges: string[] = []
  #main: Promise<Opened> | undefined

  constructor(options: SubjectOptions) {
    this.#options = options
    this.capabilities = options.transport.capabilities
  }

  /** One session, the same at each call. */
  async session(): Promise<Session> {
    this.#main ??= this.open()
    return (await this.#main).session
  }

  /** Why that one died, if it did. */
  async deaths(): Promise<readonly ConnectionError[]> {
    this.#main ??= this.open()
    return (await this.#main).deaths
  }

  /** Another session. */
  async open(signal: AbortSignal = new AbortController().signal): Promise<Opened> {
    const { transport, url } = this.#options
    const deaths: ConnectionError[] = []
    const handlers = { died: (reason: ConnectionError) => void deaths.push(reason), blocked() {}, unblocked() {} }
    const session = await transport.open({ url, name: 'conformance', connectTimeoutMs: 20_000, heartbeatMs: 10_000, handlers, signal })
    this.#sessions.push(session)
    return { session, deaths }
  }

  /** A `Connection` over this transport whose links the test can break. */
  connect(options: ConnectionOptions = {}): Connected {
    const { transport, breakAll, refuse } = breakable(this.#options.transport)
    const connection = new Connection([this.#options.url], async () => transport, {
      backoff: { minMs: 10, maxMs: 50 },
      deadlineMs: 30_000,
      connectTimeoutMs: 20_000,
      ...options,
    })
    this.#connections.push(connection)
    return { connection, breakAll, refuse }
  }

  unique(prefix: string): string {
    return `conformance.${prefix}.${randomUUID()}`
  }

  /** A declaration with a name of its own, of the type under test where that type can be. */
  queue(options: QueueOptions = {}): Queue {
    const { durable = true, exclusive = false, autoDelete = false, maxPriority } = options
    const plain = durable && !exclusive && !autoDelete && maxPriority === undefined
    const made = queue(this.unique('queue'), { type: plain ? this.#options.queueType : 'classic', ...options })
    this.#queues.push(made.name)
    return made
  }

  exchange(type: Exchange['type'], options: ExchangeOptions = {}): Exchange {
    const made = exchange(this.unique(type), { type, ...options })
    this.#exchanges.push(made.name)
    return made
  }

  /** A queue that exists; its name. */
  async declared(options: QueueOptions = {}): Promise<string> {
    const session = await this.session()
    return (await session.declareQueue(this.queue(options))).name
  }

  /** Sends texts straight to a queue and resolves when all are settled. */
  async send(queueName: string, ...texts: readonly string[]): Promise<PublishResult[]> {
    return this.publish(texts.map((text) => outgoing('', queueName, text)))
  }

  /** Resolves with the results in the order of the messages. */
  async publish(messages: readonly Outgoing[]): Promise<PublishResult[]> {
    return publishOn(await this.session(), messages)
  }

  /** Subscribes; nothing is settled unless `onDelivery` does. */
  async consume(queueName: string, options: Partial<SubscribeOptions> = {}, on?: Session): Promise<Consumed> {
    const session = on ?? (await this.session())
    const deliveries: Incoming[] = []
    const bodies: string[] = []
    const cancellations: string[] = []
    const subscription = await session.subscribe({
      queue: queueName,
      prefetch: 0,
      exclusive: false,
      noAck: false,
      arguments: {},
      onCancelled: (reason) => void cancellations.push(reason),
      ...options,
      onDelivery: (delivery) => {
        deliveries.push(delivery)
        bodies.push(textOf(delivery))
        options.onDelivery?.(delivery)
      },
    })
    return { subscription, deliveries, bodies, cancellations }
  }

  /** Takes out all that is ready now, in order. */
  async drain(queueName: string): Promise<string[]> {
    const session = await this.session()
    const bodies: string[] = []
    for (;;) {
      const incoming = await session.get(queueName)
      if (!incoming) return bodies
      bodies.push(textOf(incoming))
      await incoming.settle('ack')
    }
  }

  /** The next message, which may be on its way still. */
  async next(queueName: string, on?: Session): Promise<Incoming> {
    const session = on ?? (await this.session())
    return eventually(`a message in ${queueName}`, () => session.get(queueName))
  }

  /** Counts may follow what happened a moment later. */
  async counts(queueName: string, expected: { messages?: number; consumers?: number }): Promise<void> {
    const session = await this.session()
    let last = ''
    await eventually(`${JSON.stringify(expected)} in ${queueName}`, async () => {
      const state = await session.inspect(queueName)
      last = JSON.stringify(state)
      return Object.entries(expected).every(([key, value]) => Reflect.get(state, key) === value)
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}; last seen: ${last}`, { cause: error })
    })
  }

  /** @internal */
  async cleanUp(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close({ deadlineMs: 1_000 })))
    await Promise.all(this.#sessions.map((session) => session.close()))
    const { session } = await this.open()
    for (const name of this.#queues) await session.deleteQueue(name).catch(ignore)
    for (const name of this.#exchanges) await session.deleteExchange(name).catch(ignore)
    await session.close()
  }
}

export function outgoing(exchangeName: string, routingKey: string, body: string | Uint8Array, more: Partial<Outgoing> = {}): Outgoing {
  return { exchange: exchangeName, routingKey, body: Buffer.from(body), properties: {}, mandatory: true, ...more }
}

export function publishOn(session: Session, messages: readonly Outgoing[]): Promise<PublishResult[]> {
  return new Promise((resolve) => {
    const results = new Map<Outgoing, PublishResult>()
    session.publish(messages, (settled, result) => {
      results.set(settled, result)
      if (results.size === messages.length) resolve(messages.map((message) => results.get(message)!))
    })
  })
}

export const textOf = (incoming: Incoming): string => Buffer.from(incoming.body).toString()

/** `count` texts, `m0` first. */
export const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i}`)

export const confirmed: PublishResult = { status: 'confirmed', routed: true }
export const unrouted: PublishResult = { status: 'confirmed', routed: false }

/** What a test made may be gone already, or belong to a session that is. */
const ignore = (): void => undefined
