/** What a request asks to publish: a CloudEvent in binary or structured mode, or a plain body with `exchange` and `routing_key`. */
import { randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { eventsExchange } from '../../bus/event.ts'
import type { Exchange } from '../../core/entities.ts'
import { messageOf } from '../../core/errors.ts'
import { nestsDeeper } from '../../core/json-depth.ts'
import type { MessageProperties } from '../../core/message.ts'
import { Refusal } from './refusal.ts'

export interface Publication {
  readonly exchange: Exchange | string
  readonly routingKey: string
  readonly body: Uint8Array
  readonly properties: MessageProperties & { readonly messageId: string }
  /** A fact that nobody wants to hear is no error; a plain message that no queue gets is. */
  readonly mandatory: boolean
}

/** Attributes of one CloudEvent, by their names. */
type Attributes = Readonly<Record<string, string>>

const STRUCTURED = 'application/cloudevents+json'
/** As JSON that is consumed may be nested. */
const MAX_DEPTH = 64
const NAME_BYTES = 255
const TRACING = ['traceparent', 'tracestate', 'baggage']

/** `query` of the request's target. Throws `Refusal`. */
export function publicationOf(headers: IncomingHttpHeaders, query: URLSearchParams, body: Uint8Array): Publication {
  const contentType = headers['content-type']?.trim() || undefined
  const essence = contentType?.split(';')[0]?.trim().toLowerCase() ?? ''
  if (essence.startsWith('application/cloudevents') && essence !== STRUCTURED)
    throw new Refusal(415, `expected one CloudEvent a request, as ${STRUCTURED} or in binary mode, got ${essence}`)
  const isEvent = essence === STRUCTURED || headers['ce-specversion'] !== undefined
  const unknown = [...query.keys()].filter((key) => key !== 'exchange' && key !== 'routing_key')
  if (unknown.length > 0) throw new Refusal(400, `expected exchange and routing_key in the query, got ${unknown.join(', ')}`)
  const [exchange, routingKey] = [query.get('exchange') ?? undefined, query.get('routing_key') ?? undefined]
  const tracing = Object.fromEntries(TRACING.flatMap((name) => (typeof headers[name] === 'string' ? [[name, headers[name]]] : [])))
  if (!isEvent) {
    if (routingKey === undefined)
      throw new Refusal(400, 'expected a CloudEvent (ce-specversion, ce-id, ce-source and ce-type), or routing_key in the query')
    const properties = { messageId: randomUUID(), timestamp: Date.now(), ...typed(contentType), headers: tracing }
    return { exchange: named('exchange', exchange ?? ''), routingKey: named('routing_key', routingKey), body, properties, mandatory: true }
  }
  const event = essence === STRUCTURED ? structured(body) : { attributes: binary(headers), body, contentType }
  const { id = '', source = '', type = '', time, correlationid, specversion, ...extensions } = event.attributes
  if (specversion !== '1.0') throw new Refusal(400, `expected specversion 1.0, got ${specversion ?? 'none'}`)
  const missing = Object.entries({ id, source, type }).flatMap(([name, value]) => (value === '' ? [name] : []))
  if (missing.length > 0) throw new Refusal(400, `expected id, source and type, got no ${missing.join(' and no ')}`)
  return {
    exchange: exchange === undefined ? eventsExchange : named('exchange', exchange),
    routingKey: named(routingKey === undefined ? 'type' : 'routing_key', routingKey ?? type),
    body: event.body,
    properties: {
      messageId: named('id', id),
      appId: named('source', source),
      type: named('type', type),
      timestamp: timeOf(time),
      ...typed(event.contentType),
      ...(correlationid !== undefined && { correlationId: named('correlationid', correlationid) }),
      headers: { ...tracing, ...Object.fromEntries(Object.entries(extensions).map(([name, value]) => [`cloudEvents_${name}`, value])) },
    },
    mandatory: exchange !== undefined,
  }
}

/** HTTP protocol binding 1.0 §3.1. */
function binary(headers: IncomingHttpHeaders): Attributes {
  const attributes: Record<string, string> = {}
  for (const [header, value] of Object.entries(headers)) {
    const [, name] = /^ce-([a-z\d]{1,20})$/.exec(header) ?? []
    if (name === undefined || typeof value !== 'string') continue
    try {
      attributes[name] = decodeURIComponent(value)
    } catch {
      throw new Refusal(400, `expected ${header} in percent-encoded UTF-8, got ${JSON.stringify(value.slice(0, 80))}`)
    }
  }
  return attributes
}

/** JSON event format 1.0. */
function structured(bytes: Uint8Array): { attributes: Attributes; body: Uint8Array; contentType: string | undefined } {
  const event = objectIn(bytes)
  const attributes: Record<string, string> = {}
  for (const [name, value] of Object.entries(event)) {
    if (name === 'data' || name === 'data_base64' || name === 'datacontenttype' || value === null) continue
    if (!/^[a-z\d]{1,20}$/.test(name) || !['string', 'number', 'boolean'].includes(typeof value))
      throw new Refusal(
        400,
        `expected attributes named by lower-case letters and digits, with a text, a number, true or false, got ${JSON.stringify(name)}`,
      )
    attributes[name] = String(value)
  }
  const { data, data_base64: base64, datacontenttype: told } = event
  if (told !== undefined && typeof told !== 'string') throw new Refusal(400, 'expected datacontenttype to be a text')
  if (base64 !== undefined) {
    if (typeof base64 !== 'string' || data !== undefined) throw new Refusal(400, 'expected data_base64 to be a text, and no data beside it')
    return { attributes, body: Buffer.from(base64, 'base64'), contentType: told }
  }
  const isText = typeof data === 'string' && told !== undefined && !/^\S+[/+]json\b/i.test(told)
  const body = data === undefined ? Buffer.alloc(0) : Buffer.from(isText ? data : JSON.stringify(data))
  return { attributes, body, contentType: told ?? (data === undefined ? undefined : 'application/json') }
}

function objectIn(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
  if (nestsDeeper(source, MAX_DEPTH)) throw new Refusal(400, `expected JSON of at most ${MAX_DEPTH} levels`)
  let value: unknown
  try {
    value = JSON.parse(source)
  } catch (error) {
    throw new Refusal(400, `expected a CloudEvent in JSON: ${messageOf(error)}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Refusal(400, 'expected a CloudEvent as a JSON object')
  return value as Record<string, unknown>
}

/** Kombu decodes by the encoding, which is its word for the charset. */
function typed(contentType: string | undefined): Pick<MessageProperties, 'contentType' | 'contentEncoding'> {
  if (contentType === undefined) return { contentEncoding: 'binary' }
  if (Buffer.byteLength(contentType) > NAME_BYTES) throw new Refusal(400, `expected a content type of at most ${NAME_BYTES} bytes`)
  return { contentType, contentEncoding: /^text\/|[/+]json\b/i.test(contentType) ? 'utf-8' : 'binary' }
}

/** What AMQP has room for, and a log. */
function named(what: string, value: string): string {
  if (Buffer.byteLength(value) <= NAME_BYTES && !/\p{Cc}/u.test(value)) return value
  throw new Refusal(400, `expected ${what} of at most ${NAME_BYTES} bytes without control characters`)
}

function timeOf(time: string | undefined): number {
  const ms = time === undefined ? Date.now() : Date.parse(time)
  if (Number.isNaN(ms) || ms < 0) throw new Refusal(400, `expected time as RFC 3339 has it, got ${JSON.stringify(time?.slice(0, 80))}`)
  return ms
}
