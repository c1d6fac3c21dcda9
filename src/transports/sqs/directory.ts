/** What this process knows of the queues at one URL: all sessions share it, so that a binding one makes routes the publishes of another. */
import type { ExchangeType } from '../../core/entities.ts'
import type { Headers } from '../../core/message.ts'
import { type ExchangeStore, Exchanges, type VirtualExchange } from '../kit/exchanges.ts'
import type { TaggedBinding, Tags } from './tags.ts'

export interface KnownQueue {
  readonly url: string
  /** Undefined where nobody of ours has declared it. */
  readonly arguments: Headers | undefined
  readonly bindings: readonly TaggedBinding[]
  /** The session it is exclusive to, if any. */
  readonly owner: string | undefined
  /** Declared here, where we may not write tags: other processes do not see them. */
  readonly unwritten: Tags
  /** When its tags were read; `-Infinity` for a queue that was only looked up. */
  readonly readAt: number
}

/** A queue of the bus in which a message waits for its return: SQS delays it on its way to the target instead. */
export interface WaitingQueue {
  readonly target: string
  readonly ms: number
}

export class Directory implements ExchangeStore {
  /** By the names SQS has for them. */
  readonly #queues = new Map<string, KnownQueue>()
  readonly #exchanges = new Map<string, ExchangeType>()
  /** By the names they were declared with. */
  readonly #waiting = new Map<string, WaitingQueue>()
  readonly #consumers = new Map<string, number>()
  #routing = new Exchanges(this)
  /** When all queues were last listed. */
  listedAt = -Infinity
  /** How old tags might be that were not read again then. Milliseconds. */
  oldestTagsMs = Infinity
  /** Listing them now. */
  refreshing: Promise<void> | undefined

  async find(exchange: string): Promise<VirtualExchange | undefined> {
    const bindings = [...this.#queues].flatMap(([queue, known]) =>
      known.bindings.flatMap((binding) => (binding.exchange === exchange ? [{ ...binding, queue }] : [])),
    )
    const type = this.#exchanges.get(exchange) ?? bindings[0]?.type
    return type && { type, bindings }
  }

  /** The names SQS has for the queues a message goes to; undefined where the exchange is not known. */
  route(exchange: string, routingKey: string, headers: Headers | undefined): Promise<readonly string[] | undefined> {
    return this.#routing.route(exchange, routingKey, headers)
  }

  typeOf(exchange: string): ExchangeType | undefined {
    return this.#exchanges.get(exchange)
  }

  addExchange(exchange: string, type: ExchangeType): void {
    this.#exchanges.set(exchange, type)
    this.#routing.forget(exchange)
  }

  removeExchange(exchange: string): void {
    this.#exchanges.delete(exchange)
    for (const [name, known] of this.#queues)
      this.#queues.set(name, { ...known, bindings: known.bindings.filter((binding) => binding.exchange !== exchange) })
    this.#routing.forget(exchange)
  }

  queues(): [string, KnownQueue][] {
    return [...this.#queues]
  }

  queue(name: string): KnownQueue | undefined {
    return this.#queues.get(name)
  }

  setQueue(name: string, known: KnownQueue): void {
    this.#queues.set(name, known)
    this.#routing = new Exchanges(this)
  }

  removeQueue(name: string): void {
    if (this.#queues.delete(name)) this.#routing = new Exchanges(this)
  }

  /** SQS says there is none any more. */
  removeUrl(url: string): void {
    for (const [name, known] of this.#queues) if (known.url === url) this.removeQueue(name)
  }

  waiting(name: string): WaitingQueue | undefined {
    return this.#waiting.get(name)
  }

  setWaiting(name: string, waiting: WaitingQueue): void {
    this.#waiting.set(name, waiting)
  }

  removeWaiting(name: string): boolean {
    return this.#waiting.delete(name)
  }

  /** Subscriptions of this process; SQS counts none. */
  consumers(name: string): number {
    return this.#consumers.get(name) ?? 0
  }

  countConsumer(name: string, by: 1 | -1): void {
    this.#consumers.set(name, this.consumers(name) + by)
  }
}
