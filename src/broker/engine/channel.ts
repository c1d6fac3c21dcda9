import type { Headers } from '../../core/message.ts'
import type { Outcome, Publisher } from './batch.ts'
import type { Consumer, ConsumerChannel } from './consumer.ts'
import { Deliveries, type DeliveriesHost, type GiveBack, type Settlement } from './deliveries.ts'
import type { Entry, Message } from './message.ts'
import { withHeaders } from './properties.ts'
import type { Queue } from './queue.ts'
import { addressed, AnswerConsumer, REPLY_TO, type Replies } from './replies.ts'
import { accessRefused, exclusiveUse, notAllowed, precondition, resourceError } from './refusals.ts'
import { type ChannelStats, consumerStats } from './stats.ts'
import { Transaction } from './transaction.ts'

/** What the engine tells the side that opened a channel. All are called synchronously and must not throw. */
export interface ChannelHandlers {
  /** False while the peer reads too slowly; deliveries wait until `Channel.resume()`. */
  writable(): boolean
  /** Asked at each publish: whether it is taken although there is an alarm. @default no */
  privileged?(): boolean
  delivered(consumerTag: string, deliveryTag: number, message: Message, entry: Handed): void
  /** The consumer is gone because its queue is. */
  cancelled(consumerTag: string): void
  /** A mandatory message no queue wanted; comes before it is settled. */
  returned(message: Message): void
  /** In the order of publishing; see `Outcome`. `id` is the one given to `publish`. */
  settled(id: number, outcome: Outcome, reason: string): void
}

/** What a channel needs of the engine around it. */
export interface ChannelHost extends DeliveriesHost {
  /** Routes and queues it; 404 for an unknown exchange. */
  publish(message: Message, publisher: Publisher, id: number): readonly Queue[]
  /** Who waits for direct answers. */
  readonly replies: Replies
  /** Why publishes are refused for now. */
  readonly alarm: string | undefined
  /** Throws 404. */
  isInternal(exchange: string): boolean
  knows(exchange: string): boolean
  queue(name: string, asker: object): Queue
  messageOf(entry: Entry): Message
  consumerGone(queue: Queue): void
  flush(): void
}

export interface ConsumeOptions {
  readonly queue: string
  /** '' asks for one. */
  readonly tag: string
  readonly noAck: boolean
  readonly exclusive: boolean
  readonly arguments: Headers
  /** Most unsettled deliveries of this consumer; 0 is no limit. @default what `qos` said */
  readonly prefetch?: number
}

/** What handlers learn of the place a message came from. */
export type Handed = Pick<Entry, 'redelivered' | 'deliveries'> & { readonly queue: { readonly name: string } }

const ANSWER: Handed = Object.freeze({ redelivered: false, deliveries: 0, queue: { name: REPLY_TO } })

/** Publishing, consuming and settling on behalf of one peer. Methods throw the engine's refusals. */
export class Channel implements ConsumerChannel, Publisher {
  readonly #host: ChannelHost
  readonly #owner: object
  readonly #handlers: ChannelHandlers
  readonly #consumers = new Map<string, Consumer>()
  readonly #deliveries: Deliveries
  readonly #answers: AnswerConsumer
  #transaction: Transaction | undefined
  #lastConsumer = 0
  #prefetch = 0
  #sharedPrefetch = 0
  #closed = false

  constructor(host: ChannelHost, owner: object, handlers: ChannelHandlers) {
    this.#host = host
    this.#owner = owner
    this.#handlers = handlers
    this.#deliveries = new Deliveries(host)
    this.#answers = new AnswerConsumer(host.replies, (tag, message) => handlers.delivered(tag, this.#deliveries.nextTag(), message, ANSWER))
  }

  get unsettled(): number {
    return this.#deliveries.size
  }

  get consuming(): boolean {
    return this.#consumers.size > 0 || this.#answers.tag !== undefined
  }

  stats(): ChannelStats {
    return {
      unsettled: this.#deliveries.size,
      prefetch: this.#prefetch,
      sharedPrefetch: this.#sharedPrefetch,
      consumers: [...this.#consumers.values()].map(consumerStats),
    }
  }

  get privileged(): boolean {
    return this.#handlers.privileged?.() ?? false
  }

  /** `settled` is called with `id` later, once. */
  publish(message: Message, mandatory: boolean, id: number): void {
    if (this.#host.isInternal(message.exchange)) {
      throw accessRefused(`cannot publish to internal exchange '${message.exchange}' in vhost '/'`)
    }
    const sent = addressed(message, this.#answers.address)
    if (this.#transaction) return this.#transaction.publish(sent, mandatory)
    const queues = this.#host.publish(sent, this, id)
    if (mandatory && queues.length === 0) this.#handlers.returned(sent)
  }

  /** From now on nothing that is published or settled has an effect before `commit`. */
  begin(): void {
    this.#transaction ??= new Transaction()
  }

  /** Everything since the last commit happens, or nothing. Throws 406 where a full queue did not take a publish, 506 where none is taken. */
  commit(): void {
    const { publishes, settled } = this.#openTransaction().take()
    const { alarm } = this.#host
    if (alarm !== undefined && publishes.length > 0 && !this.privileged) {
      this.#deliveries.restore(settled.map(({ found }) => found))
      throw resourceError(alarm)
    }
    this.#host.flush()
    const outcomes = new Map<Outcome, string>()
    const publisher: Publisher = { privileged: true, settled: (_, outcome, reason) => void outcomes.set(outcome, reason) }
    for (const { message, mandatory } of publishes) {
      // Its exchange may be gone since it was published.
      const queues = this.#host.knows(message.exchange) ? this.#host.publish(message, publisher, 0) : []
      if (mandatory && queues.length === 0) this.#handlers.returned(message)
    }
    for (const { found, how } of settled) this.#deliveries.settle(found, how, publishes.length > 0)
    this.#freed()
    this.#host.flush()
    const failure = outcomes.get('failed')
    if (failure !== undefined) throw resourceError(failure)
    if (outcomes.has('refused')) throw precondition('partial tx completion')
  }

  /** Publishes since the last commit are forgotten, and what was settled may be settled again. */
  rollback(): void {
    const { settled } = this.#openTransaction().take()
    this.#deliveries.restore(settled.map(({ found }) => found))
  }

  /** `shared`: for the whole channel together; else for each consumer that comes after. 0 is no limit. */
  qos(prefetch: number, shared: boolean): void {
    if (shared) this.#sharedPrefetch = prefetch
    else this.#prefetch = prefetch
    this.resume()
  }

  /** Returns the consumer's tag; deliveries begin soon after, never within the call. */
  consume(options: ConsumeOptions): string {
    const tag = options.tag === '' ? `amq.ctag-${++this.#lastConsumer}` : options.tag
    if (options.queue === REPLY_TO) {
      this.#answers.check(options.noAck)
      this.#checkTag(tag)
      return this.#answers.begin(tag)
    }
    const queue = this.#host.queue(options.queue, this.#owner)
    this.#checkTag(tag)
    const { consumers } = queue
    if (consumers.exclusive || (options.exclusive && consumers.size > 0)) throw exclusiveUse(queue.name)
    const priority = options.arguments['x-priority']
    const consumer: Consumer = {
      queue,
      tag,
      exclusive: options.exclusive,
      noAck: options.noAck,
      priority: typeof priority === 'number' ? priority : 0,
      channel: this,
      prefetch: options.prefetch ?? this.#prefetch,
      unsettled: 0,
    }
    // As in RabbitMQ 3: who is active stays so.
    consumers.add(consumer, queue.traits.settings.singleActiveConsumer)
    this.#consumers.set(tag, consumer)
    queue.used()
    this.#host.touch(queue)
    return tag
  }

  /** What was delivered stays settleable. A tag that is not known is no error. */
  cancel(tag: string): void {
    if (this.#answers.tag === tag) this.#answers.end()
    const consumer = this.#consumers.get(tag)
    if (!consumer) return
    this.#consumers.delete(tag)
    this.#drop(consumer)
  }

  get(queueName: string, noAck: boolean): { tag: number; message: Message; entry: Entry; remaining: number } | undefined {
    const queue = this.#host.queue(queueName, this.#owner)
    if (queue.pending > 0) this.#host.flush()
    queue.used()
    const entry = queue.get()
    if (!entry) return undefined
    const message = this.#hand(entry)
    const tag = this.#deliveries.add(entry, undefined, noAck)
    return { tag, message, entry, remaining: queue.ready }
  }

  /** Tag 0 with `multiple` means all. Throws 406 for an unknown tag. */
  ack(tag: number, multiple: boolean): void {
    this.#settle(tag, multiple, 'acked')
  }

  /** Dead-letters or drops. */
  reject(tag: number, multiple: boolean): void {
    this.#settle(tag, multiple, 'rejected')
  }

  giveBack(tag: number, multiple: boolean, how: GiveBack): void {
    this.#settle(tag, multiple, how)
  }

  /** Gives back everything that is unsettled. */
  recover(how: GiveBack): void {
    for (const found of this.#deliveries.take(0, true)) this.#deliveries.settle(found, how)
    this.#freed()
  }

  /** The peer reads again. */
  resume(): void {
    for (const consumer of this.#consumers.values()) this.#host.touch(consumer.queue)
  }

  close(how: GiveBack): void {
    if (this.#closed) return
    this.#closed = true
    const consumers = [...this.#consumers.values()]
    this.#consumers.clear()
    if (this.#transaction) this.rollback()
    this.#answers.end()
    // First the messages: an auto-delete queue goes with its last consumer.
    this.recover(how)
    for (const consumer of consumers) this.#drop(consumer)
  }

  hasRoom(consumer: Consumer): boolean {
    if (!this.#handlers.writable()) return false
    if (consumer.noAck) return true
    if (consumer.prefetch > 0 && consumer.unsettled >= consumer.prefetch) return false
    return this.#sharedPrefetch === 0 || this.#deliveries.size + (this.#transaction?.settlements ?? 0) < this.#sharedPrefetch
  }

  deliver(consumer: Consumer, entry: Entry): void {
    const message = this.#hand(entry)
    const tag = this.#deliveries.add(entry, consumer, consumer.noAck)
    this.#handlers.delivered(consumer.tag, tag, message, entry)
  }

  cancelled(consumer: Consumer): void {
    if (this.#consumers.delete(consumer.tag)) this.#handlers.cancelled(consumer.tag)
  }

  settled(id: number, outcome: Outcome, reason: string): void {
    if (!this.#closed) this.#handlers.settled(id, outcome, reason)
  }

  #hand(entry: Entry): Message {
    const message = this.#host.messageOf(entry)
    const { counters } = entry.queue
    counters.delivered++
    if (entry.redelivered) counters.redelivered++
    return entry.redelivered ? withHeaders(message, { 'x-delivery-count': BigInt(entry.deliveries) }) : message
  }

  #settle(tag: number, multiple: boolean, how: Settlement): void {
    for (const found of this.#deliveries.take(tag, multiple)) {
      if (this.#transaction) this.#transaction.settle(found, how)
      else this.#deliveries.settle(found, how)
    }
    this.#freed()
  }

  #openTransaction(): Transaction {
    if (!this.#transaction) throw precondition('channel is not transactional')
    return this.#transaction
  }

  #checkTag(tag: string): void {
    if (this.#consumers.has(tag) || this.#answers.tag === tag) throw notAllowed(`attempt to reuse consumer tag '${tag}'`)
  }

  /** Room in the shared prefetch may serve any queue of the channel. */
  #freed(): void {
    if (this.#sharedPrefetch > 0) this.resume()
  }

  #drop(consumer: Consumer): void {
    if (consumer.queue.consumers.remove(consumer)) this.#host.consumerGone(consumer.queue)
  }
}
