/**
 * Kombu's virtual message: a JSON text that carries what AMQP puts beside a body, on brokers that carry nothing but texts.
 * Written so that Kombu 5.2 to 5.6 reads it, and read as any of them writes it, or a producer that knows only what Kombu insists on.
 */
import { TextDecoder } from 'node:util'
import { CodecError, messageOf } from '../../core/errors.ts'
import { nestsDeeper } from '../../core/json-depth.ts'
import type { Headers, MessageProperties, Outgoing } from '../../core/message.ts'
import { show } from '../../core/options.ts'
import { parseWithHeaders, writeJsonHeaders } from './json-headers.ts'

export interface Envelope {
  /** '' is the default exchange. */
  readonly exchange: string
  readonly routingKey: string
  readonly body: Uint8Array
  /** Throws `CodecError` where the envelope is one that could not be read, see `unreadable`. */
  readonly properties: MessageProperties
  /** What its writer called this copy. */
  readonly deliveryTag: string
  /** Kombu has delivered it before, and put it back. */
  readonly redelivered: boolean
}

/** Deeper envelopes are refused: what reads them further may not be able to write them again. */
const MAX_DEPTH = 64

/** The text that carries a message. Two copies of one need a tag each. Throws `CodecError` for headers that are no JSON. */
export function writeEnvelope(message: Pick<Outgoing, 'exchange' | 'routingKey' | 'body' | 'properties'>, deliveryTag: string): string {
  const { body, properties } = message
  const { contentEncoding, contentType, headers } = properties
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const fields = JSON.stringify({
    correlation_id: properties.correlationId,
    reply_to: properties.replyTo,
    expiration: properties.expirationMs === undefined ? undefined : String(properties.expirationMs),
    message_id: properties.messageId,
    // AMQP's unit.
    timestamp: properties.timestamp === undefined ? undefined : Math.floor(properties.timestamp / 1_000),
    type: properties.type,
    user_id: properties.userId,
    app_id: properties.appId,
    delivery_mode: properties.persistent === false ? TRANSIENT : PERSISTENT,
    delivery_info: { exchange: message.exchange, routing_key: message.routingKey },
    priority: properties.priority ?? 0,
    body_encoding: 'base64',
    delivery_tag: deliveryTag,
  })
  // Base64 needs no escape, and is most of it.
  return `{"body":"${bytes.toString('base64')}","content-encoding":${jsonOf(contentEncoding)},"content-type":${jsonOf(contentType)},"headers":${writeJsonHeaders(headers)},"properties":${fields}}`
}

/** Throws `CodecError` that says what is wrong: not UTF-8, cut short, not JSON, without what Kombu insists on, or a body that is not as it says. */
export function readEnvelope(source: string | Uint8Array): Envelope {
  return envelopeFrom(parseEnvelope(source))
}

/** The JSON of an envelope, or of something else. Throws `CodecError`. */
export function parseEnvelope(source: string | Uint8Array): unknown {
  const text = typeof source === 'string' ? source : textOf(source)
  if (nestsDeeper(text, MAX_DEPTH)) throw new CodecError(`The envelope is nested deeper than ${MAX_DEPTH} levels`)
  try {
    return parseWithHeaders(text)
  } catch (error) {
    if (error instanceof CodecError) throw error
    throw new CodecError(`The envelope is not JSON: ${messageOf(error)}`, { cause: error })
  }
}

/** The envelope in a value that `parseEnvelope` gave. Throws `CodecError`. */
export function envelopeFrom(parsed: unknown): Envelope {
  const envelope = tableOf(parsed, 'The envelope')
  const properties = tableOf(envelope['properties'], 'properties')
  const info = tableOf(properties['delivery_info'], 'properties.delivery_info')
  const tag = properties['delivery_tag']
  if (typeof tag !== 'string' && typeof tag !== 'number') throw missing('properties.delivery_tag', 'a text', tag)
  // Kombu writes null for what was not given.
  const headers = tableOf(envelope['headers'] ?? {}, 'headers') as Headers
  return {
    exchange: addressOf(info, 'exchange'),
    routingKey: addressOf(info, 'routing_key'),
    body: bodyOf(envelope['body'], properties['body_encoding']),
    properties: present({
      contentType: textIn(envelope, 'content-type'),
      contentEncoding: textIn(envelope, 'content-encoding'),
      headers,
      persistent: persistentOf(properties['delivery_mode']),
      priority: wholeOf(properties['priority']),
      correlationId: textIn(properties, 'correlation_id'),
      replyTo: textIn(properties, 'reply_to'),
      expirationMs: wholeOf(properties['expiration']),
      messageId: textIn(properties, 'message_id'),
      timestamp: timeOf(properties['timestamp']),
      type: textIn(properties, 'type'),
      userId: textIn(properties, 'user_id'),
      appId: textIn(properties, 'app_id'),
    }),
    deliveryTag: String(tag),
    redelivered: info['redelivered'] === true || headers['redelivered'] === true,
  }
}

/** Stands for a source that cannot be read: its bytes are the body, and its properties throw why. It has come from nowhere known. */
export function unreadable(source: string | Uint8Array, error: CodecError): Envelope {
  return {
    exchange: '',
    routingKey: '',
    body: typeof source === 'string' ? Buffer.from(source) : source,
    get properties(): MessageProperties {
      throw error
    },
    deliveryTag: '',
    redelivered: false,
  }
}

type Table = Readonly<Record<string, unknown>>

const TRANSIENT = 1
const PERSISTENT = 2

const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

function textOf(source: Uint8Array): string {
  try {
    return strictUtf8.decode(source)
  } catch (error) {
    throw new CodecError('The envelope is not UTF-8 text', { cause: error })
  }
}

function bodyOf(body: unknown, encoding: unknown): Uint8Array {
  if (typeof body !== 'string') throw missing('body', 'a text', body)
  if (encoding === undefined || encoding === null || encoding === 'utf-8') {
    if (!body.isWellFormed()) throw new CodecError('The body of the envelope holds half a character')
    return Buffer.from(body)
  }
  if (encoding !== 'base64') throw missing('properties.body_encoding', '"base64" or "utf-8"', encoding)
  const bytes = decodeBase64(body) ?? decodeBase64(body.replaceAll(/\s/g, ''))
  if (bytes === undefined) throw new CodecError('The body of the envelope is not base64, as its body_encoding says')
  return bytes
}

/** Node skips what is no base64, which shows in how much comes out, and takes what was cut short. */
function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return text.length % 4 === 0 && bytes.byteLength === Buffer.byteLength(text, 'base64') ? bytes : undefined
}

function addressOf(info: Table, key: string): string {
  const value = info[key]
  if (typeof value === 'string') return value
  if (value === null) return ''
  throw missing(`properties.delivery_info.${key}`, 'a text', value)
}

/** A number is meant as its digits; anything else says nothing. */
function textIn(table: Table, key: string): string | undefined {
  const value = table[key]
  return typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'bigint' ? String(value) : undefined
}

function wholeOf(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined
}

function persistentOf(mode: unknown): boolean | undefined {
  return mode === PERSISTENT || mode === String(PERSISTENT) ? true : mode === TRANSIENT || mode === String(TRANSIENT) ? false : undefined
}

/** Seconds, or a time in ISO 8601 as Python writes one. */
function timeOf(value: unknown): number | undefined {
  const ms =
    typeof value === 'number' ? value * 1_000 : value instanceof Date ? value.getTime() : Date.parse(typeof value === 'string' ? value : '')
  return Number.isFinite(ms) ? Math.round(ms) : undefined
}

function tableOf(value: unknown, where: string): Table {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Table
  throw missing(where, 'an object', value)
}

function missing(where: string, expected: string, got: unknown): CodecError {
  return new CodecError(`The envelope cannot be read: ${where}: expected ${expected}, got ${show(got)}`)
}

const jsonOf = (value: string | undefined): string => (value === undefined ? 'null' : JSON.stringify(value))

function present(properties: MessageProperties): MessageProperties {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined))
}
