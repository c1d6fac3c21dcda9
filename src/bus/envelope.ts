/** Between an event and the message that carries it: which property holds what. */
import { createHash, randomUUID } from 'node:crypto'
import type { Delivery } from '../core/delivery.ts'
import type { Headers } from '../core/message.ts'
import { taskIdOf, taskNameOf } from './celery/message.ts'
import type { Message, PublishEventOptions } from './consume.ts'
import type { Event } from './event.ts'

/** Our own headers carry no `x-`: RabbitMQ treats those as its own. */
export const header = {
  /** How often handling it has thrown. */
  attempts: 'omnibus-attempts',
  /** Not to be handled before: milliseconds since 1970, by the publisher's clock. */
  due: 'omnibus-due',
  deadReason: 'omnibus-dead-reason',
  deadQueue: 'omnibus-dead-queue',
  deadAttempts: 'omnibus-dead-attempts',
  deadAt: 'omnibus-dead-at',
} as const

export interface EventProperties {
  readonly messageId: string
  readonly type: string
  readonly timestamp: number
  readonly appId: string
  readonly headers?: Headers
  readonly correlationId?: string
  readonly priority?: number
  readonly expirationMs?: number
}

export function propertiesOf(event: Event<never, unknown>, source: string, now: number, options: PublishEventOptions): EventProperties {
  const { correlationId, delayMs, expirationMs, headers, id = randomUUID(), priority } = options
  return {
    messageId: id,
    type: event.type,
    timestamp: now,
    appId: source,
    ...((headers ?? delayMs) !== undefined && { headers: { ...headers, ...(delayMs !== undefined && { [header.due]: now + delayMs }) } }),
    ...(correlationId !== undefined && { correlationId }),
    ...(priority !== undefined && { priority }),
    ...(expirationMs !== undefined && { expirationMs }),
  }
}

/** The event type of a delivery, or its task: said by the message, or else its routing key, as for a plain AMQP publisher. */
export function typeOf(delivery: Delivery): string {
  return delivery.properties.type ?? taskNameOf(delivery) ?? delivery.routingKey
}

/** The message as its handler sees it. A foreign message without an id gets one from its bytes, the same each time. */
export function messageFrom<Data>(delivery: Delivery, data: Data): Message<Data> {
  const { correlationId, headers = {}, timestamp } = delivery.properties
  return {
    id: idOf(delivery),
    type: typeOf(delivery),
    time: new Date(timestamp ?? Date.now()),
    data,
    headers,
    ...(correlationId !== undefined && { correlationId }),
  }
}

/** The id its publisher has given it; undefined where it has none. */
export function givenIdOf(delivery: Delivery): string | undefined {
  // An empty one tells no message from another.
  return delivery.properties.messageId || taskIdOf(delivery)
}

export function idOf(delivery: Delivery): string {
  return givenIdOf(delivery) ?? createHash('sha256').update(delivery.routingKey).update('\0').update(delivery.body).digest('base64url')
}

export function attemptsOf(delivery: Delivery): number {
  // Anyone can write any header: a table would throw when taken for a number.
  const attempts = delivery.properties.headers?.[header.attempts]
  return typeof attempts === 'number' && Number.isSafeInteger(attempts) && attempts > 0 ? attempts : 0
}

/** How long it is not to be handled yet; undefined where it may be at once. Milliseconds. */
export function delayOf(delivery: Delivery, now: number): number | undefined {
  const due = delivery.properties.headers?.[header.due]
  return (typeof due === 'number' || typeof due === 'bigint') && due > now ? Number(due) - now : undefined
}

/** The id of the `nth` event of a type that the consumers of `queue` publish when they handle `cause`: the same on every retry. */
export function derivedId(queue: string, cause: string, type: string, nth: number): string {
  return createHash('sha256').update(`${queue}\0${cause}\0${type}\0${nth}`).digest('base64url').slice(0, 27)
}
