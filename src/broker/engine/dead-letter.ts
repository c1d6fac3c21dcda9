/** The headers a dead letter carries, as RabbitMQ writes them (https://www.rabbitmq.com/docs/dlx#effects). */
import type { Headers, HeaderValue, MessageProperties } from '../../core/message.ts'
import type { Message } from './message.ts'
import { decodeProperties, encodeProperties } from './properties.ts'
import type { DeathReason } from './queue.ts'
import { copies } from './routing.ts'

export interface Death {
  readonly queue: string
  readonly reason: DeathReason
  /** Milliseconds since 1970. */
  readonly at: number
  readonly exchange: string
  /** Instead of the message's own keys. */
  readonly routingKey: string | undefined
}

/** The dead letter of a message: its history extended, its expiration gone so that it does not expire again where it goes. */
export function deadLetter(message: Message, death: Death): Message {
  const { expirationMs, ...properties } = decodeProperties(message.properties)
  const headers = { ...properties.headers }
  headers['x-death'] = history(headers, message, death, expirationMs)
  // With a key of its own it goes nowhere else.
  if (death.routingKey !== undefined) delete headers['CC']
  headers['x-first-death-exchange'] ??= message.exchange
  headers['x-first-death-queue'] ??= death.queue
  headers['x-first-death-reason'] ??= death.reason
  const kept: MessageProperties = { ...properties, headers }
  return {
    exchange: death.exchange,
    routingKey: death.routingKey ?? message.routingKey,
    properties: encodeProperties(kept),
    body: message.body,
  }
}

/**
 * Whether a dead letter would come back to a queue it died in without anybody having rejected it since: such a circle
 * would turn for ever, so it ends here, as in RabbitMQ.
 */
export function circles(letter: Message, queue: string): boolean {
  const deaths = deathsOf(decodeProperties(letter.properties).headers ?? {})
  const back = deaths.findIndex((entry) => entry['queue'] === queue)
  return back >= 0 && deaths.slice(0, back + 1).every((entry) => entry['reason'] !== 'rejected')
}

function history(headers: Headers, message: Message, death: Death, expirationMs: number | undefined): readonly Headers[] {
  const deaths = deathsOf(headers)
  const same = (entry: Headers): boolean => entry['queue'] === death.queue && entry['reason'] === death.reason
  const before = deaths.find(same)
  const count = Number(before?.['count'] ?? 0) + 1
  const latest: Headers = before
    ? { ...before, count }
    : {
        count,
        reason: death.reason,
        queue: death.queue,
        time: new Date(death.at),
        exchange: message.exchange,
        'routing-keys': [message.routingKey, ...copies(headers, 'CC')],
        ...(expirationMs === undefined ? {} : { 'original-expiration': String(expirationMs) }),
      }
  return [latest, ...deaths.filter((entry) => !same(entry))].map((entry) => ({ ...entry, count: BigInt(Number(entry['count'] ?? 1)) }))
}

function deathsOf(headers: Headers): readonly Headers[] {
  const value = headers['x-death']
  return Array.isArray(value) ? value.filter(isTable) : []
}

const isTable = (value: HeaderValue): value is Headers =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date) && !(value instanceof Uint8Array)
