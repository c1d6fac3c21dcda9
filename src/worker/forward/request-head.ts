/** A message as the head of an HTTP request: a CloudEvent in binary mode (CloudEvents 1.0, HTTP protocol binding 1.0 §3.1). */
import { idOf, typeOf } from '../../bus/envelope.ts'
import type { Delivery } from '../../core/delivery.ts'
import type { Headers, HeaderValue } from '../../core/message.ts'

export type Head = Readonly<Record<string, string>>

/** Longest value of a message's header that is passed on, and most of them in all, as they are sent: servers refuse heads beyond 8 to 16 KiB. */
const MAX_VALUE = 1_024
const MAX_BYTES = 4_096
const MAX_HEADERS = 30
/** CloudEvents over AMQP names them so, the one for JMS and the other. */
const ATTRIBUTE = /^cloudEvents[_:]([a-z\d]{1,20})$/
/** W3C's, under their own names. */
const TRACING = ['traceparent', 'tracestate', 'baggage']

/** `attempt`: 1 for the first. */
export function headOf(delivery: Delivery, attempt: number): Head & { readonly 'ce-id': string } {
  const { appId, contentType, correlationId, timestamp } = delivery.properties
  const attributes: Record<string, string | undefined> = {
    source: uriReference(appId || delivery.exchange || delivery.queue),
    type: typeOf(delivery) || delivery.queue,
    time: timestamp === undefined ? undefined : rfc3339(new Date(timestamp)),
    correlationid: correlationId,
  }
  return {
    ...passedOn(delivery.properties.headers ?? {}),
    ...prefixed(attributes),
    'ce-id': encoded(idOf(delivery)),
    'ce-specversion': '1.0',
    'content-type': contentType && isHeaderText(contentType) ? contentType : 'application/octet-stream',
    'x-bus-queue': encoded(delivery.queue),
    'x-bus-routing-key': encoded(delivery.routingKey),
    'x-bus-attempt': String(attempt),
  }
}

/** Of the message's own headers what has a name here and still finds room. */
function passedOn(headers: Headers): Head {
  const head: Record<string, string> = {}
  let [room, others] = [MAX_BYTES, MAX_HEADERS]
  for (const [key, value] of Object.entries(headers)) {
    const name = nameOf(key)
    const written = name === undefined ? undefined : scalar(value)
    if (name === undefined || written === undefined || written.length > MAX_VALUE) continue
    const sent = encoded(written)
    const bytes = name.length + sent.length
    const isOther = name.startsWith('x-bus-')
    if (bytes > room || (isOther && others === 0)) continue
    head[name] = sent
    room -= bytes
    if (isOther) others--
  }
  return head
}

/** Never by its own: a message must not be able to say who its sender is allowed to be. */
function nameOf(key: string): string | undefined {
  const [, attribute] = ATTRIBUTE.exec(key) ?? []
  if (attribute !== undefined) return `ce-${attribute}`
  if (TRACING.includes(key)) return key
  return /^(?!omnibus-|compression$)[A-Za-z][\w-]{0,63}$/.test(key) ? `x-bus-${key.toLowerCase().replaceAll('_', '-')}` : undefined
}

function prefixed(attributes: Readonly<Record<string, string | undefined>>): Head {
  const told = Object.entries(attributes).filter(([, value]) => value !== undefined && value !== '')
  return Object.fromEntries(told.map(([name, value]) => [`ce-${name}`, encoded(value ?? '')]))
}

/** §3.1.3.2: all but printable ASCII, and the space, `"` and `%`, is percent-encoded UTF-8. */
function encoded(value: string): string {
  return value.toWellFormed().replace(/[^\x21\x23\x24\x26-\x7e]+/gu, (part) => [...Buffer.from(part)].map(percent).join(''))
}

const percent = (byte: number): string => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`

/** Names of services and exchanges may hold what no URI does. */
const uriReference = (name: string): string => encodeURI(name.toWellFormed()).replaceAll('%25', '%')

/** Undefined for what has none there: milliseconds, where a publisher should have written seconds, are beyond the year 9999, or any year at all. */
function rfc3339(date: Date): string | undefined {
  const text = Number.isNaN(date.getTime()) ? '' : date.toISOString()
  return /^\d{4}-/.test(text) ? text : undefined
}

const isHeaderText = (value: string): boolean => /^[\x20-\x7e]{1,200}$/.test(value)

/** Tables and lists have no form here. */
function scalar(value: HeaderValue): string | undefined {
  if (value instanceof Date) return rfc3339(value)
  return ['string', 'number', 'bigint', 'boolean'].includes(typeof value) ? String(value) : undefined
}
