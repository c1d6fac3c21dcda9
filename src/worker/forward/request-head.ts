/** A message as the head of an HTTP request: a CloudEvent in binary mode (CloudEvents 1.0, HTTP protocol binding 1.0 §3.1). */
import { idOf, typeOf } from '../../bus/envelope.ts'
import type { Delivery } from '../../core/delivery.ts'
import type { HeaderValue } from '../../core/message.ts'

export type Head = Readonly<Record<string, string>>

/** Longest value that is passed on, and most headers: servers refuse heads beyond 8 to 16 KiB. */
const MAX_VALUE = 1_024
const MAX_HEADERS = 30
/** CloudEvents over AMQP names them so, the one for JMS and the other. */
const ATTRIBUTE = /^cloudEvents[_:]([a-z\d]{1,20})$/
/** W3C's, under their own names. */
const TRACING = ['traceparent', 'tracestate', 'baggage']

/** `attempt`: 1 for the first. */
export function headOf(delivery: Delivery, attempt: number): Head {
  const { appId, contentType, correlationId, headers = {}, timestamp } = delivery.properties
  const attributes: Record<string, string | undefined> = {
    id: idOf(delivery),
    source: uriReference(appId || delivery.exchange || delivery.queue),
    type: typeOf(delivery) || delivery.queue,
    time: timestamp === undefined ? undefined : new Date(timestamp).toISOString(),
    correlationid: correlationId,
  }
  const tracing: Record<string, string> = {}
  const others: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const written = scalar(value)
    if (written === undefined || written.length > MAX_VALUE) continue
    const [, attribute] = ATTRIBUTE.exec(name) ?? []
    if (attribute !== undefined) attributes[attribute] ??= written
    else if (TRACING.includes(name)) tracing[name] = encoded(written)
    // Never by its own name: a message must not be able to say who its sender is allowed to be.
    else if (/^(?!omnibus-|compression$)[A-Za-z][\w-]{0,63}$/.test(name) && Object.keys(others).length < MAX_HEADERS)
      others[`x-bus-${name.toLowerCase().replaceAll('_', '-')}`] = encoded(written)
  }
  return {
    ...others,
    ...tracing,
    ...prefixed(attributes),
    'ce-specversion': '1.0',
    'content-type': contentType && isHeaderText(contentType) ? contentType : 'application/octet-stream',
    'x-bus-queue': encoded(delivery.queue),
    'x-bus-routing-key': encoded(delivery.routingKey),
    'x-bus-attempt': String(attempt),
  }
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

const isHeaderText = (value: string): boolean => /^[\x20-\x7e]{1,200}$/.test(value)

/** Tables and lists have no form here. */
function scalar(value: HeaderValue): string | undefined {
  if (value instanceof Date) return value.toISOString()
  return ['string', 'number', 'bigint', 'boolean'].includes(typeof value) ? String(value) : undefined
}
