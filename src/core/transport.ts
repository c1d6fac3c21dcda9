/**
 * The contract every transport keeps. A transport opens a *session*: one live link that works until it dies, once,
 * with a reason. A session never reconnects and never retries; `Connection` owns the only recovery there is.
 */
import type { Exchange, Queue } from './entities.ts'
import type { ConnectionError } from './errors.ts'
import type { Headers, MessageProperties, Outgoing, PublishResult } from './message.ts'

/** What this transport can do; the docs' table and the conformance suite's skips are made from it. */
export interface Capabilities {
  readonly exchangeTypes: readonly string[]
  readonly priorities: boolean
  readonly messageTtl: boolean
  readonly deadLetterExchange: boolean
  /** The broker counts deliveries, so that a handler that kills its process is noticed. */
  readonly deliveryCount: boolean
  readonly exclusiveQueues: boolean
  /** `confirmed` tells whether any queue got the message. */
  readonly routedKnown: boolean
  /** An answer can come straight back to the session that sent the request. */
  readonly directReply: boolean
}

export interface Transport {
  readonly name: string
  readonly capabilities: Capabilities
  /** Throws `ConfigError` for a URL that cannot be used, and `MissingPeerError` where the broker's client is not installed. Connects to nothing. */
  check?(url: URL): void
  /**
   * Opens one session on one host. Rejects with `ConnectionError` (`fatal` where trying again cannot help), or as `check` throws.
   * May be called concurrently. `handlers` are called until `died`, and never after `close()` resolved.
   */
  open(options: OpenOptions): Promise<Session>
}

/** A broker that is not reached by its URL alone. */
export interface Broker {
  /** Where it is, for people, and the parameters of its transport. */
  readonly url: string
  readonly transport: Transport
}

export interface OpenOptions {
  /** The one host to try, userinfo included: never put it in a log or an error unredacted. */
  readonly url: URL
  /** What the session is for; shown by brokers that show names. */
  readonly name: string
  readonly connectTimeoutMs: number
  /** Wished interval between heartbeats; 0 turns them off. The session dies after two silent intervals. */
  readonly heartbeatMs: number
  readonly handlers: SessionHandlers
  /** Aborting gives up opening. */
  readonly signal: AbortSignal
}

export interface SessionHandlers {
  /** The link is gone: called exactly once unless `close()` came first. No result or delivery follows it. */
  died(reason: ConnectionError): void
  /** The broker takes no publishes for now (memory or disk alarm). Consuming goes on. */
  blocked(reason: string): void
  unblocked(): void
  /** Something a person should know, while all goes on: a message that cannot be read, a broker set up so that it loses some. */
  warned?(reason: string): void
}

export interface Session {
  /**
   * Creates the exchange if it does not exist. Resolves when it does; may be called twice with the same arguments.
   * Rejects with `TopologyError` when it exists with others.
   */
  declareExchange(exchange: Exchange): Promise<void>
  /** Creates the queue, its exchanges and its bindings. Resolves with its name (the broker's choice for ''). As above otherwise. */
  declareQueue(queue: Queue): Promise<QueueState>
  /** Removes one binding; one that does not exist is no error. */
  unbind(queue: string, exchange: string, routingKey: string, bindingArguments: Headers): Promise<void>
  /**
   * Sends, in order, and calls `settled` once per message when the broker has answered, in any order. Returns at
   * once; several calls may be under way. What is not settled when the session dies was perhaps taken, perhaps not.
   */
  publish(messages: readonly Outgoing[], settled: (message: Outgoing, result: PublishResult) => void): void
  /**
   * Publishing for requests, apart from the other: as `publish`, with a `replyTo` that leads back to this session. Called once. Absent
   * where `directReply` is false.
   */
  requests?(handlers: AnswerHandlers): Requester
  /** Resolves when deliveries may begin, which may be before this resolves. Rejects with `TopologyError`. */
  subscribe(options: SubscribeOptions): Promise<Subscription>
  /** Fetches one message, or undefined when the queue is empty. Settle it like any other. */
  get(queue: string): Promise<Incoming | undefined>
  /** Counts of an existing queue; rejects with `TopologyError` 404 where there is none. */
  inspect(queue: string): Promise<QueueState>
  /** Resolves when the exchange exists; rejects with `TopologyError` 404 where it does not. Absent where the broker cannot tell. */
  inspectExchange?(exchange: string): Promise<void>
  /** Drops all messages that are ready; resolves with their number. */
  purge(queue: string): Promise<number>
  deleteQueue(queue: string): Promise<void>
  deleteExchange(exchange: string): Promise<void>
  /** Tells the broker a new password for this session, where it takes one. Rejects with `ConnectionError`. */
  updateSecret?(secret: string): Promise<void>
  /** When bytes last came from the broker, on the monotonic clock; the watchdog's proof of life. */
  readonly lastHeardAt: number
  /** Flushes what was settled, says goodbye and closes. Unsettled deliveries go back. May be called twice, and after death. */
  close(): Promise<void>
  /** Ends the link at once, as if it had broken, without calling `died`. For a session that no longer answers. */
  destroy(): void
}

export type Requester = Pick<Session, 'publish'>

export interface AnswerHandlers {
  /** Called for each answer, synchronously; its correlation id says to what. It needs no ack. Must not throw. */
  onAnswer(answer: Incoming): void
  /** Answers to what was confirmed so far cannot come any more, while the session lives on. */
  onLost(reason: string): void
}

export interface QueueState {
  readonly name: string
  readonly messages: number
  readonly consumers: number
}

export interface SubscribeOptions {
  readonly queue: string
  /** Most unsettled deliveries at a time, from 1; 0 is no limit. */
  readonly prefetch: number
  readonly exclusive: boolean
  readonly noAck: boolean
  readonly arguments: Headers
  /** Called for each message, in order, synchronously. Must not throw. */
  readonly onDelivery: (delivery: Incoming) => void
  /** The broker ended the subscription (queue deleted, failover, channel error) while the session lives on. */
  readonly onCancelled: (reason: string) => void
}

export interface Subscription {
  /**
   * Ends deliveries; resolves when no more will come. What was delivered stays settleable: draining rests on it.
   * May be called twice, and after the session died.
   */
  cancel(): Promise<void>
}

/**
 * `ack`: done. `reject`: not wanted, dead-letter or drop. `requeue`: failed, again please, counted as a delivery.
 * `release`: given back untouched, not counted where the broker can tell the difference.
 */
export type Settlement = 'ack' | 'reject' | 'requeue' | 'release'

/** A message as a session delivers it. Its body may lie in a shared read buffer, but is never changed afterwards. */
export interface Incoming {
  readonly body: Uint8Array
  /** May be decoded when first read, and then throws `CodecError` where their bytes cannot be read. */
  readonly properties: MessageProperties
  readonly exchange: string
  readonly routingKey: string
  readonly queue: string
  readonly redelivered: boolean
  /** How often it was delivered before, where the broker counts; else undefined. */
  readonly deliveryCount: number | undefined
  /**
   * Settles it; only the first call counts. True when the broker was told, false when the session is dead, so that
   * the message will come again. Never throws.
   */
  settle(settlement: Settlement): boolean | Promise<boolean>
}
