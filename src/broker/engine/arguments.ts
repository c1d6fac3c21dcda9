/** Queue arguments: what they mean, which values they may have, and when two declarations are the same. */
import type { Headers, HeaderValue } from '../../core/message.ts'
import { inequivalent, invalidArgument, precondition } from './refusals.ts'

export interface QueueSettings {
  readonly quorum: boolean
  /** Milliseconds. */
  readonly messageTtl: number | undefined
  /** Milliseconds. */
  readonly expires: number | undefined
  readonly maxLength: number | undefined
  readonly maxBytes: number | undefined
  readonly rejectPublish: boolean
  readonly maxPriority: number
  readonly deadLetterExchange: string | undefined
  readonly deadLetterRoutingKey: string | undefined
  readonly deliveryLimit: number | undefined
  readonly singleActiveConsumer: boolean
}

/** A check returns what is wrong with a value, in RabbitMQ's words. */
type Check = (value: HeaderValue) => string | undefined

const whole: Check = (value) => {
  if (typeof value !== 'number' || !Number.isInteger(value)) return `"expected integer, got ${wireType(value)}"`
  return value < 0 ? `{value_negative,${value}}` : undefined
}
const positive: Check = (value) => whole(value) ?? (value === 0 ? '{value_zero,0}' : undefined)
const priority: Check = (value) => whole(value) ?? (Number(value) > 255 ? `{max_value_exceeded,${String(value)}}` : undefined)
const text: Check = (value) => (typeof value === 'string' ? undefined : `{unacceptable_type,${wireType(value)}}`)
const flag: Check = (value) => (typeof value === 'boolean' ? undefined : `{unacceptable_type,${wireType(value)}}`)
const oneOf =
  (why: string, ...known: string[]): Check =>
  (value) =>
    typeof value === 'string' && known.includes(value) ? undefined : why

// Every argument that takes part in the comparison of two declarations; any other is accepted and ignored, as RabbitMQ does.
const CHECKS: Readonly<Record<string, Check>> = {
  'x-queue-type': (value) => (value === 'classic' || value === 'quorum' ? undefined : `"unsupported queue type '${String(value)}'"`),
  'x-message-ttl': whole,
  'x-expires': positive,
  'x-max-length': whole,
  'x-max-length-bytes': whole,
  'x-overflow': oneOf('invalid_overflow', 'drop-head', 'reject-publish', 'reject-publish-dlx'),
  'x-max-priority': priority,
  'x-dead-letter-exchange': text,
  'x-dead-letter-routing-key': text,
  'x-dead-letter-strategy': oneOf('invalid_dlx_strategy', 'at-most-once', 'at-least-once'),
  'x-delivery-limit': whole,
  'x-single-active-consumer': flag,
  'x-queue-mode': oneOf('invalid_queue_mode', 'default', 'lazy'),
  'x-quorum-initial-group-size': positive,
}

/** Throws 406 naming the argument. */
export function readQueueArguments(name: string, given: Headers, traits: { durable: boolean; exclusive: boolean }): QueueSettings {
  for (const [key, check] of Object.entries(CHECKS)) {
    const value = given[key]
    const wrong = value === undefined ? undefined : check(value)
    if (wrong !== undefined) throw invalidArgument(key, name, wrong)
  }
  const settings: QueueSettings = {
    quorum: given['x-queue-type'] === 'quorum',
    messageTtl: numberAt(given, 'x-message-ttl'),
    expires: numberAt(given, 'x-expires'),
    maxLength: numberAt(given, 'x-max-length'),
    maxBytes: numberAt(given, 'x-max-length-bytes'),
    rejectPublish: given['x-overflow'] === 'reject-publish' || given['x-overflow'] === 'reject-publish-dlx',
    maxPriority: numberAt(given, 'x-max-priority') ?? 0,
    deadLetterExchange: textAt(given, 'x-dead-letter-exchange'),
    deadLetterRoutingKey: textAt(given, 'x-dead-letter-routing-key'),
    deliveryLimit: numberAt(given, 'x-delivery-limit'),
    singleActiveConsumer: given['x-single-active-consumer'] === true,
  }
  if (settings.deadLetterRoutingKey !== undefined && settings.deadLetterExchange === undefined) {
    throw invalidArgument('x-dead-letter-routing-key', name, 'routing_key_but_no_dlx_defined')
  }
  if (settings.quorum) checkQuorum(name, settings, traits)
  return settings
}

function checkQuorum(name: string, settings: QueueSettings, traits: { durable: boolean; exclusive: boolean }): void {
  if (!traits.durable) throw precondition(`invalid property 'non-durable' for queue '${name}' in vhost '/'`)
  if (traits.exclusive) throw precondition(`invalid property 'exclusive-owner' for queue '${name}' in vhost '/'`)
  if (settings.maxPriority > 0) {
    throw precondition(`invalid arg 'x-max-priority' for queue '${name}' in vhost '/' of queue type rabbit_quorum_queue`)
  }
}

/** Throws 406 naming the first argument that differs. `keys` defaults to those of queues. */
export function checkEquivalent(
  kind: 'queue' | 'exchange',
  name: string,
  current: Headers,
  received: Headers,
  keys: readonly string[] = Object.keys(CHECKS),
): void {
  for (const key of keys) {
    const was = current[key]
    const is = received[key]
    if (was === is || (was !== undefined && is !== undefined && String(was) === String(is))) continue
    if (was === undefined) throw inequivalent(key, kind, name, `received ${described(is)} but current is none`)
    if (is === undefined) throw inequivalent(key, kind, name, `received none but current is ${described(was)}`)
    throw inequivalent(key, kind, name, `received '${String(is)}' but current is '${String(was)}'`)
  }
}

/** Throws 406 when a plain property such as `durable` differs. */
export function checkSame(kind: 'queue' | 'exchange', name: string, property: string, current: unknown, received: unknown): void {
  if (current !== received) {
    throw inequivalent(property, kind, name, `received '${String(received)}' but current is '${String(current)}'`)
  }
}

const described = (value: HeaderValue): string => `the value '${String(value)}' of type '${wireType(value)}'`

/** What RabbitMQ calls the type a value has on the wire. */
export function wireType(value: HeaderValue): string {
  if (typeof value === 'string') return 'longstr'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'number') return Number.isInteger(value) ? ((value | 0) === value ? 'signedint' : 'long') : 'double'
  if (typeof value === 'bigint') return 'long'
  if (value === null || value === undefined) return 'void'
  if (value instanceof Date) return 'timestamp'
  if (value instanceof Uint8Array) return 'binary'
  return Array.isArray(value) ? 'array' : 'table'
}

function numberAt(given: Headers, key: string): number | undefined {
  const value = given[key]
  return typeof value === 'number' ? value : undefined
}

function textAt(given: Headers, key: string): string | undefined {
  const value = given[key]
  return typeof value === 'string' ? value : undefined
}
