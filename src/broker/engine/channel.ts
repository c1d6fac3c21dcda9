import type { Headers } from '../../core/message.ts'
import type { Outcome, Publisher } from './batch.ts'
import type { Consumer, ConsumerChannel } from './consumer.ts'
import type { Entry, Message } from './message.ts'
import { withHeaders } from './properties.ts'
import type { Queue } from './queue.ts'
import { addressed, REPLY_TO, type Replies } from './replies.ts'
import { accessRefused, exclusiveUse, notAllowed, precondition, resourceError } from './refusals.ts'
import { type Settlement, Transaction } from './transaction.ts'
import { type Unsettled, UnsettledDeliveries } from './unsettled.ts'

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
export interface ChannelHost {
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
  /** `atOnce`: what else is in the batch must not be kept without it, nor it without that. */
  acked(entry: Entry, atOnce?: boolean): void
  rejected(entry: Entry): void
  givenBack(entry: Entry, counted: boolean): void
  touch(queue: Queue): void
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

export interface ConsumerStats {
  readonly tag: string
  readonly queue: string
  readonly unsettled: number
  /** 0 is no limit. */
  readonly prefetch: number
  readonly noAck: boolean
  readonly priority: number
}

export interface ChannelStats {
  readonly unsettled: number
  /** Of consumers to come, and of all together; 0 is no limit. */
  readonly prefetch: number
  readonly sharedPrefetch: number
  readonly consumers: readonly ConsumerStats[]
}

/** What handlers learn of the place a message came from. */
export type Handed = Pick<Entry, 'redelivered' | 'deliveries'> & { readonly queue: { readonly name: string } }

const REPLY: Handed = Object.freeze({ redelivered: false, deliveries: 0, queue: { name: REPLY_TO } })

/** What a give-back is: only a failed one counts as a delivery. */
export type GiveBack = 'failed' | 'untouched'

/** Publishing, consuming and settling on behalf of one peer. Methods throw the engine's refusals. */
export class Channel implements ConsumerChannel, Publisher {
  readonly #host: ChannelHost
  readonly #owner: object
  readonly #handlers: ChannelHandlers
  readonly #consumers = new Map<string, Consumer>()
  readonly #unsettled = new UnsettledDeliveries()
  #transaction: Transaction | undefined
  #reply: { readonly tag: string; readonly address: string } | undefined
  #lastTag = 0
  #lastConsumer = 0
  #prefetch = 0
  #sharedPrefetch = 0
  #closed = false

  constructor(host: ChannelHost, owner: object, handlers: ChannelHandlers) {
    this.#host = host
    this.#owner = owner
    this.#handlers = handlers
  }

  get unsettled(): number {
    return this.#unsettled.size
  }

  get consuming(): boolean {
    return this.#consumers.size > 0 || this.#reply !== undefined
  }

  stats(): ChannelStats {
    const consumers = [...this.#consumers.values()].map(({ tag, queue, unsettled, prefetch, noAck, priority }) => ({
      tag,
      queue: queue.name,
      unsettled,
      prefetch,
      noAck,
      priority,
    }))
    return { unsettled: this.#unsettled.size, prefetch: this.#prefetch, sharedPrefetch: this.#sharedPrefetch, consumers }
  }

  get privileged(): boolean {
    return this.#handlers.privileged?.() ?? false
  }

  /** `settled` is called with `id` later, once. */
  publish(message: Message, mandatory: boolean, id: number): void {
    if (this.#host.isInternal(message.exchange)) {
      throw accessRefused(`cannot publish to internal exchange '${message.exchange}' in vhost '/'`)
    }
    const sent = addressed(message, this.#reply?.address)
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
      this.#unsettled.restore(settled.map(({ found }) => found))
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
    for (const { found, how } of settled) this.#apply(found, how, publishes.length > 0)
    this.#freed()
    this.#host.flush()
    const failure = outcomes.get('failed')
    if (failure !== undefined) throw resourceError(failure)
    if (outcomes.has('refused')) throw precondition('partial tx completion')
  }

  /** Publishes since the last commit are forgotten, and what was settled may be settled again. */
  rollback(): void {
    const { settled } = this.#openTransaction().take()
    this.#unsettled.restore(settled.map(({ found }) => found))
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
    if (options.queue === REPLY_TO) return this.#awaitReplies(tag, options.noAck)
    const queue = this.#host.queue(options.queue, this.#owner)
    if (this.#consumers.has(tag) || this.#reply?.tag === tag) throw notAllowed(`attempt to reuse consumer tag '${tag}'`)
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
    if (this.#reply?.tag === tag) this.#endReplies()
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
    const tag = this.#track(entry, undefined, noAck)
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
    for (const found of this.#unsettled.take(0, true)) this.#apply(found, how)
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
    this.#endReplies()
    // First the messages: an auto-delete queue goes with its last consumer.
    this.recover(how)
    for (const consumer of consumers) this.#drop(consumer)
  }

  hasRoom(consumer: Consumer): boolean {
    if (!this.#handlers.writable()) return false
    if (consumer.noAck) return true
    if (consumer.prefetch > 0 && consumer.unsettled >= consumer.prefetch) return false
    return this.#sharedPrefetch === 0 || this.#unsettled.size + (this.#transaction?.settlements ?? 0) < this.#sharedPrefetch
  }

  deliver(consumer: Consumer, entry: Entry): void {
    const message = this.#hand(entry)
    const tag = this.#track(entry, consumer, consumer.noAck)
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

  #track(entry: Entry, consumer: Consumer | undefined, noAck: boolean): number {
    const tag = ++this.#lastTag
    if (noAck) {
      this.#host.acked(entry)
      return tag
    }
    // The store has it; what consumers hold must not fill the memory.
    if (entry.stored && entry.message?.body instanceof Uint8Array) entry.message = undefined
    entry.queue.unsettled++
    if (consumer) consumer.unsettled++
    this.#unsettled.add({ tag, entry, consumer })
    return tag
  }

  #settle(tag: number, multiple: boolean, how: Settlement): void {
    for (const found of this.#unsettled.take(tag, multiple)) {
      if (this.#transaction) this.#transaction.settle(found, how)
      else this.#apply(found, how)
    }
    this.#freed()
  }

  #apply({ entry, consumer }: Unsettled, how: Settlement, atOnce = false): void {
    entry.queue.unsettled--
    if (consumer) {
      consumer.unsettled--
      this.#host.touch(entry.queue)
    }
    if (how === 'acked') this.#host.acked(entry, atOnce)
    else if (how === 'rejected') this.#host.rejected(entry)
    else this.#host.givenBack(entry, how === 'failed')
  }

  #openTransaction(): Transaction {
    if (!this.#transaction) throw precondition('channel is not transactional')
    return this.#transaction
  }

  #awaitReplies(tag: string, noAck: boolean): string {
    if (this.#reply) throw precondition('reply consumer already set')
    if (!noAck) throw precondition('reply consumer cannot acknowledge')
    if (this.#consumers.has(tag)) throw notAllowed(`attempt to reuse consumer tag '${tag}'`)
    const address = this.#host.replies.add((message) => this.#handlers.delivered(tag, ++this.#lastTag, message, REPLY))
    this.#reply = { tag, address }
    return tag
  }

  #endReplies(): void {
    if (this.#reply) this.#host.replies.remove(this.#reply.address)
    this.#reply = undefined
  }

  /** Room in the shared prefetch may serve any queue of the channel. */
  #freed(): void {
    if (this.#sharedPrefetch > 0) this.resume()
  }

  #drop(consumer: Consumer): void {
    if (consumer.queue.consumers.remove(consumer)) this.#host.consumerGone(consumer.queue)
  }
}
