/** Direct reply-to: answers that pass no queue (https://www.rabbitmq.com/docs/direct-reply-to). */
import { randomBytes } from 'node:crypto'
import type { Message } from './message.ts'
import { decodeProperties, encodeProperties } from './properties.ts'
import { precondition } from './refusals.ts'

/** Consumed like a queue, and given as `replyTo`. */
export const REPLY_TO = 'amq.rabbitmq.reply-to'
const PREFIX = `${REPLY_TO}.`

// The property flag of reply-to, in the first byte of the properties (AMQP 0-9-1 §4.2.6.1).
const REPLY_TO_IN_FIRST = 0x02

/** Who waits for answers, by the address that requests carry. */
export class Replies {
  readonly #takers = new Map<string, (message: Message) => void>()

  /** Returns a new address, to which answers are sent until `remove`. */
  add(take: (message: Message) => void): string {
    // Not to be guessed: who knows it may answer.
    const address = PREFIX + randomBytes(18).toString('base64url')
    this.#takers.set(address, take)
    return address
  }

  remove(address: string): void {
    this.#takers.delete(address)
  }

  has(name: string): boolean {
    return name === REPLY_TO || this.#takers.has(name)
  }

  /** Where it is an answer, it is delivered at once, or to nobody. */
  deliver(message: Message): void {
    if (this.#takers.size > 0 && message.exchange === '') this.#takers.get(message.routingKey)?.(message)
  }
}

/** The subscription to answers that a channel may have. */
export class AnswerConsumer {
  readonly #replies: Replies
  readonly #onAnswer: (tag: string, message: Message) => void
  #tag: string | undefined
  #address: string | undefined

  constructor(replies: Replies, onAnswer: (tag: string, message: Message) => void) {
    this.#replies = replies
    this.#onAnswer = onAnswer
  }

  /** Undefined while there is none. */
  get tag(): string | undefined {
    return this.#tag
  }

  /** What its requests carry. */
  get address(): string | undefined {
    return this.#address
  }

  /** Throws 406 unless it may begin. */
  check(noAck: boolean): void {
    if (this.#tag !== undefined) throw precondition('reply consumer already set')
    if (!noAck) throw precondition('reply consumer cannot acknowledge')
  }

  begin(tag: string): string {
    this.#tag = tag
    this.#address = this.#replies.add((message) => this.#onAnswer(tag, message))
    return tag
  }

  end(): void {
    if (this.#address !== undefined) this.#replies.remove(this.#address)
    this.#tag = this.#address = undefined
  }
}

export const isReplyName = (name: string): boolean => name === REPLY_TO || name.startsWith(PREFIX)

/** The request as it is sent on: with the address of who waits on this channel. Throws 406 where nobody does. */
export function addressed(message: Message, address: string | undefined): Message {
  if (((message.properties[0] ?? 0) & REPLY_TO_IN_FIRST) === 0) return message
  const properties = decodeProperties(message.properties)
  if (properties.replyTo !== REPLY_TO) return message
  if (address === undefined) throw precondition('fast reply consumer does not exist')
  return { ...message, properties: encodeProperties({ ...properties, replyTo: address }) }
}
