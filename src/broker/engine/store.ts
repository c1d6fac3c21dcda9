import type { ExchangeType } from '../../core/entities.ts'
import type { Headers } from '../../core/message.ts'
import type { BodySink, Entry, Message } from './message.ts'

/**
 * Where the engine keeps what must survive, and what is too long for memory. Every call is synchronous and has
 * happened when it returns; each of the writing ones is one transaction, which failed as a whole when it throws:
 * `StoreFullError` when there was no room, `StoreFailedError` when the store must not be used any more.
 */
export interface Store {
  load(): Snapshot
  /** A large body begins to arrive. Never throws: `finish` of what it returns does. */
  receive(size: number): BodySink
  commit(writes: Writes): void
  /** Messages of a lane behind `after`, in order: at most `limit`, and fewer when their bytes exceed `maxBytes`. */
  page(queue: QueueKey, lane: number, after: number, limit: number, maxBytes: number): StoredMessage[]
  read(queue: QueueKey, seq: number): Message
  /** Drops the messages of a lane behind `after`. */
  purge(queue: QueueKey, lane: number, after: number): void
  saveExchange(exchange: StoredExchange): void
  /** With its bindings, from it and to it. */
  deleteExchange(name: string): void
  saveQueue(queue: StoredQueue): void
  /** With its bindings and messages. */
  deleteQueue(queue: QueueKey): void
  saveBinding(binding: StoredBinding): void
  deleteBinding(binding: StoredBinding): void
}

/** Messages of a queue that is not kept lie apart, in a place that is empty at the next start. */
export interface QueueKey {
  readonly id: number
  readonly kept: boolean
}

export interface Writes {
  readonly inserts: readonly Entry[]
  readonly deletes: readonly Entry[]
  /** Entries that were given back: their count of deliveries may have changed. */
  readonly returns: readonly Entry[]
}

export interface Snapshot {
  readonly exchanges: readonly StoredExchange[]
  readonly queues: readonly StoredQueue[]
  readonly bindings: readonly StoredBinding[]
  readonly counts: readonly StoredCount[]
  /** Above every sequence number and queue id in use. */
  readonly nextSeq: number
  readonly nextQueueId: number
  /** Messages with lower numbers saw an owner that did not close the store, so they may have been with a consumer. */
  readonly suspectBelow: number
}

export interface StoredExchange {
  readonly name: string
  readonly type: ExchangeType
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: Headers
}

export interface StoredQueue {
  readonly id: number
  readonly name: string
  readonly autoDelete: boolean
  readonly arguments: Headers
}

export interface StoredBinding {
  readonly exchange: string
  readonly to: 'queue' | 'exchange'
  readonly destination: string
  readonly routingKey: string
  readonly arguments: Headers
}

export interface StoredCount {
  readonly queue: number
  readonly lane: number
  readonly messages: number
  readonly bytes: number
}

export interface StoredMessage {
  readonly seq: number
  readonly expiresAt: number | undefined
  readonly deliveries: number
  readonly redelivered: boolean
  readonly message: Message
}

/** There was no room for a transaction. Nothing of it was kept; the store goes on working. */
export class StoreFullError extends Error {
  override readonly name = 'StoreFullError'
}

/** The store does not know any more what it holds; the process must end, and start again from what is on disk. */
export class StoreFailedError extends Error {
  override readonly name = 'StoreFailedError'
}
