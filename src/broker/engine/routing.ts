/** Which queues a message reaches: through bindings of exchanges to exchanges, and alternate exchanges. */
import type { Headers, HeaderValue } from '../../core/message.ts'
import { wireType } from './arguments.ts'
import type { Exchange } from './exchange.ts'
import type { Message } from './message.ts'
import { decodeProperties, encodeProperties, headersOf } from './properties.ts'
import type { Queue } from './queue.ts'
import { precondition } from './refusals.ts'

// The property flag of headers, in the first byte of the properties (AMQP 0-9-1 §4.2.6.1).
const HEADERS = 0x20
// The names of the headers CC and BCC as a table holds them, which end alike.
const CC = Buffer.from('CC')

/** A message goes on from an exchange once, so circles of bindings end. */
export function routeFrom(
  first: Exchange,
  message: Message,
  keys: readonly string[],
  exchangeOf: (name: string) => Exchange | undefined,
): readonly Queue[] {
  const [key = ''] = keys
  const direct = first.match(message, key)
  // Nearly every message ends here.
  if (keys.length === 1 && direct.queues.length > 0 && direct.exchanges.length === 0) return direct.queues
  const seen = new Set([first])
  const found = new Set<Queue>()
  for (const exchange of seen) {
    let nobody = true
    for (const each of keys) {
      const { queues, exchanges } = exchange.match(message, each)
      if (queues.length > 0 || exchanges.length > 0) nobody = false
      for (const queue of queues) found.add(queue)
      for (const next of exchanges) seen.add(next)
    }
    const alternate = nobody && exchange.alternate !== undefined ? exchangeOf(exchange.alternate) : undefined
    if (alternate) seen.add(alternate)
  }
  return [...found]
}

/** The routing keys of a message: its own, and those in its headers CC and BCC (https://www.rabbitmq.com/docs/sender-selected). */
export function routingKeys(message: Message): readonly string[] {
  if (!mayHaveCopies(message)) return [message.routingKey]
  const headers = headersOf(message)
  return [message.routingKey, ...copies(headers, 'CC'), ...copies(headers, 'BCC')]
}

/** Whether a look into the headers is worth its price. */
function mayHaveCopies({ properties }: Message): boolean {
  if (((properties[0] ?? 0) & HEADERS) === 0) return false
  return Buffer.from(properties.buffer, properties.byteOffset, properties.length).includes(CC)
}

/** What else is in the array is no routing key. Throws 406 when it is no array. */
export function copies(headers: Headers, name: 'CC' | 'BCC'): readonly string[] {
  const value = headers[name]
  if (value === undefined) return []
  if (Array.isArray(value)) return value.filter((key: HeaderValue) => typeof key === 'string')
  throw precondition(`invalid message: {unacceptable_type_in_header,"${name}",${wireType(value)}}`)
}

/** The message as receivers see it: of blind copies they learn nothing. */
export function withoutBlindCopies(message: Message): Message {
  if (!mayHaveCopies(message)) return message
  const properties = decodeProperties(message.properties)
  const { BCC, ...headers } = properties.headers ?? {}
  return BCC === undefined ? message : { ...message, properties: encodeProperties({ ...properties, headers }) }
}
