import type { AmqpConnection, Channel, Content, MethodArgs } from '../../amqp/index.ts'
import { CodecError, messageOf, TopologyError } from '../../core/errors.ts'
import type { Outgoing, PublishResult } from '../../core/message.ts'
import type { AnswerHandlers } from '../../core/transport.ts'
import { Delivery } from './delivery.ts'
import { TagWindow } from './tag-window.ts'

type Settled = (message: Outgoing, result: PublishResult) => void

interface Entry {
  readonly message: Outgoing
  readonly settled: Settled
  returned: boolean
}

const ROUTED: PublishResult = Object.freeze({ status: 'confirmed', routed: true })
const UNROUTED: PublishResult = Object.freeze({ status: 'confirmed', routed: false })
const NACKED: PublishResult = Object.freeze({ status: 'nacked', reason: 'the broker answered with basic.nack' })

/** Consumed like a queue, on the channel that publishes with it as `replyTo` (https://www.rabbitmq.com/docs/direct-reply-to). */
const REPLY_TO = 'amq.rabbitmq.reply-to'

/**
 * Publishes on one channel in confirm mode, pipelined. A message the broker answers with a channel error is refused, and
 * all others it had not confirmed yet are sent again on a new channel, in their order; some may then arrive twice.
 */
export class Publisher {
  readonly #connection: AmqpConnection
  readonly #answers: AnswerHandlers | undefined
  #channel: Channel | undefined
  #window = new TagWindow<Entry>()
  /** Waits for a channel, or behind a message that is being tried alone. */
  #waiting: Entry[] = []
  #opening = false
  /** How many of the waiting ones are sent one at a time, because one of them broke the channel. */
  #suspects = 0
  /** Returns come in the order of publishing, so the next one is looked for behind the last. */
  #searchFrom = 0

  /** With `answers` all it publishes are requests. */
  constructor(connection: AmqpConnection, answers?: AnswerHandlers) {
    this.#connection = connection
    this.#answers = answers
  }

  publish(messages: readonly Outgoing[], settled: Settled): void {
    const ready = this.#channel?.open === true && this.#waiting.length === 0 && this.#suspects === 0
    for (const message of messages) {
      const entry: Entry = { message, settled, returned: false }
      if (ready && this.#channel?.open === true) this.#send(this.#channel, entry)
      else this.#waiting.push(entry)
    }
    if (this.#waiting.length > 0) this.#pump()
  }

  #pump(): void {
    const channel = this.#channel
    if (!channel?.open) return this.#open()
    if (this.#suspects > 0) {
      if (this.#window.oldest < this.#window.next) return
      const alone = this.#waiting.shift()
      if (alone) return this.#send(channel, alone)
      this.#suspects = 0
    }
    const waiting = this.#waiting
    this.#waiting = []
    for (const entry of waiting) this.#send(channel, entry)
  }

  #open(): void {
    if (this.#opening) return
    this.#opening = true
    const ready = async (): Promise<void> => {
      try {
        const channel = await this.#connection.openChannel({
          confirmed: (tag, multiple, taken) => this.#confirmed(tag, multiple, taken),
          returned: (args, content) => this.#returned(args, content),
          closed: (reason) => this.#closed(reason),
          deliver: (args, content) => this.#answers?.onAnswer(new Delivery(source, args, content)),
        })
        const source = { queue: REPLY_TO, strings: channel.strings, settlements: undefined }
        await channel.call('confirm.select', {})
        if (this.#answers) await channel.call('basic.consume', { queue: REPLY_TO, consumerTag: 'answers', noAck: true })
        this.#channel = channel
        this.#window = new TagWindow()
        this.#searchFrom = 0
      } finally {
        this.#opening = false
      }
      this.#pump()
    }
    ready().catch((error: unknown) => {
      // When the connection is dead nothing more is to be said; else the broker will not give us a channel.
      if (!(error instanceof TopologyError)) return
      const waiting = this.#waiting
      this.#waiting = []
      this.#suspects = 0
      for (const entry of waiting) settle(entry, { status: 'nacked', reason: `no channel to publish on: ${messageOf(error)}` })
    })
  }

  #send(channel: Channel, entry: Entry): void {
    const { exchange, routingKey, mandatory, properties, body } = entry.message
    try {
      const sent = this.#answers ? { ...properties, replyTo: REPLY_TO } : properties
      channel.publish({ exchange, routingKey, mandatory }, sent, body)
    } catch (error) {
      if (!(error instanceof CodecError)) throw error
      // Later, since whoever called may not be ready for a result yet.
      return queueMicrotask(() => this.#finish(entry, { status: 'refused', reason: error.message }))
    }
    this.#window.push(entry)
  }

  #confirmed(tag: number, multiple: boolean, taken: boolean): void {
    const window = this.#window
    if (multiple) {
      const last = Math.min(tag, window.next - 1)
      for (let t = window.oldest; t <= last; t++) this.#answer(window.take(t), taken)
    } else {
      this.#answer(window.take(tag), taken)
    }
  }

  #answer(entry: Entry | undefined, taken: boolean): void {
    if (entry) this.#finish(entry, taken ? (entry.returned ? UNROUTED : ROUTED) : NACKED)
  }

  #finish(entry: Entry, result: PublishResult): void {
    settle(entry, result)
    if (this.#suspects === 0) return
    this.#suspects--
    this.#pump()
  }

  /** basic.return comes before the confirm of its message, but names no tag. */
  #returned(args: MethodArgs<'basic.return'>, content: Content): void {
    const { oldest, next } = this.#window
    const from = Math.max(this.#searchFrom, oldest)
    const tag = this.#find(from, next, args, content) ?? this.#find(oldest, from, args, content)
    if (tag === undefined) return
    const entry = this.#window.at(tag)
    if (entry) entry.returned = true
    this.#searchFrom = tag + 1
  }

  #find(from: number, to: number, args: MethodArgs<'basic.return'>, content: Content): number | undefined {
    for (let tag = from; tag < to; tag++) {
      const entry = this.#window.at(tag)
      if (!entry || entry.returned || !entry.message.mandatory) continue
      const { exchange, routingKey, body, properties } = entry.message
      if (exchange !== args.exchange || routingKey !== args.routingKey || !content.body.equals(body)) continue
      if (properties.messageId === undefined || content.readProperties().messageId === properties.messageId) return tag
    }
    return undefined
  }

  /** The broker closed the channel because of one of the messages on it. */
  #closed(reason: TopologyError): void {
    const unconfirmed: Entry[] = []
    for (let tag = this.#window.oldest; tag < this.#window.next; tag++) {
      const entry = this.#window.take(tag)
      if (entry) unconfirmed.push({ ...entry, returned: false })
    }
    this.#channel = undefined
    this.#answers?.onLost(`the channel it would come on was closed: ${reason.message}`)
    const refusal: PublishResult = { status: 'refused', reason: `${reason.message} (${reason.replyCode})` }
    const guilty = this.#guilty(reason, unconfirmed)
    this.#waiting = [...unconfirmed.filter((entry) => !guilty.has(entry)), ...this.#waiting]
    // Nobody knows which one it was: each goes alone, until the next channel error names it.
    this.#suspects = guilty.size > 0 ? 0 : unconfirmed.length
    for (const entry of guilty) settle(entry, refusal)
    if (this.#waiting.length > 0) this.#pump()
  }

  #guilty(reason: TopologyError, unconfirmed: readonly Entry[]): ReadonlySet<Entry> {
    const [only, ...others] = unconfirmed
    if (only && others.length === 0) return new Set([only])
    // "NOT_FOUND - no exchange 'x' in vhost '/'", "ACCESS_REFUSED - access to exchange 'x' in vhost …": what was published to
    // it behind the first one was not looked at any more, and had met the same.
    const name = /exchange '([^']*)' in vhost/.exec(reason.message)?.[1]
    return new Set(name === undefined ? [] : unconfirmed.filter((entry) => entry.message.exchange === name))
  }
}

function settle({ message, settled }: Entry, result: PublishResult): void {
  settled(message, result)
}
