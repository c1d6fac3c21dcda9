/** The headers a dead letter carries, as RabbitMQ writes them (https://www.rabbitmq.com/docs/dlx#effects). */
import type { Headers, HeaderValue, MessageProperties } from './message.ts'

export type DeathReason = 'expired' | 'maxlen' | 'rejected' | 'delivery_limit'

/** What of a message its death concerns. */
export interface Mortal {
  readonly exchange: string
  readonly routingKey: string
  readonly properties: MessageProperties
}

export interface Death {
  readonly queue: string
  readonly reason: DeathReason
  /** Milliseconds since 1970. */
  readonly at: number
  readonly exchange: string
  /** Instead of the message's own keys. */
  readonly routingKey: string | undefined
}

/**
 * The dead letter of a message that had these routing keys: its history extended, its expiration gone so that it does not expire
 * again where it goes.
 */
export function deadLetter({ exchange, routingKey, properties: before }: Mortal, death: Death, routingKeys: readonly string[]): Mortal {
  const { expirationMs, ...properties } = before
  const headers = { ...properties.headers }
  headers['x-death'] = history(headers, { exchange, routingKeys, expirationMs }, death)
  // With a key of its own it goes nowhere else.
  if (death.routingKey !== undefined) delete headers['CC']
  headers['x-first-death-exchange'] ??= exchange
  headers['x-first-death-queue'] ??= death.queue
  headers['x-first-death-reason'] ??= death.reason
  return { exchange: death.exchange, routingKey: death.routingKey ?? routingKey, properties: { ...properties, headers } }
}

/**
 * Whether a dead letter with these headers would come back to a queue it died in without anybody having rejected it since: such a
 * circle would turn for ever, so it ends here, as in RabbitMQ.
 */
export function circles(headers: Headers, queue: string): boolean {
  const deaths = deathsOf(headers)
  const back = deaths.findIndex((entry) => entry['queue'] === queue)
  return back >= 0 && deaths.slice(0, back + 1).every((entry) => entry['reason'] !== 'rejected')
}

interface Died {
  readonly exchange: string
  readonly routingKeys: readonly string[]
  readonly expirationMs: number | undefined
}

function history(headers: Headers, { exchange, routingKeys, expirationMs }: Died, death: Death): readonly Headers[] {
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
        exchange,
        'routing-keys': routingKeys,
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
