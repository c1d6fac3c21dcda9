/** Basic properties: the part of a content header behind the body's size (AMQP 0-9-1 §4.2.6.1, class basic). */
import { CodecError, ProtocolError } from '../core/errors.ts'
import type { MessageProperties } from '../core/message.ts'
import { ByteReader } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'
import { readTable, writeTable } from './field-table.ts'
import { REPLY } from './reply-codes.ts'
import type { StringCache } from './string-cache.ts'

const CONTENT_TYPE = 1 << 15
const CONTENT_ENCODING = 1 << 14
const HEADERS = 1 << 13
const DELIVERY_MODE = 1 << 12
const PRIORITY = 1 << 11
const CORRELATION_ID = 1 << 10
const REPLY_TO = 1 << 9
const EXPIRATION = 1 << 8
const MESSAGE_ID = 1 << 7
const TIMESTAMP = 1 << 6
const TYPE = 1 << 5
const USER_ID = 1 << 4
const APP_ID = 1 << 3
const CLUSTER_ID = 1 << 2
/** Bit 1 means nothing; bit 0 announces a second flag word, which the basic class does not have. */
const UNKNOWN = 0b11

/** ECMA-262, "Time Values and Time Range". */
const LAST_MS = 8.64e15

const PERSISTENT = 2
const TRANSIENT = 1

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** Appends flags and properties. Throws `CodecError` naming the property the wire cannot hold. */
export function writeProperties(writer: ByteWriter, properties: MessageProperties): void {
  const p = properties
  const at = writer.position
  writer.u16(0)
  let flags = 0
  if (p.contentType !== undefined) flags |= shortString(writer, CONTENT_TYPE, p.contentType, 'contentType')
  if (p.contentEncoding !== undefined) flags |= shortString(writer, CONTENT_ENCODING, p.contentEncoding, 'contentEncoding')
  if (p.headers !== undefined) {
    flags |= HEADERS
    writeTable(writer, p.headers)
  }
  if (p.persistent !== undefined) {
    flags |= DELIVERY_MODE
    writer.u8(p.persistent ? PERSISTENT : TRANSIENT)
  }
  if (p.priority !== undefined) {
    flags |= PRIORITY
    writer.u8(whole('priority', p.priority, 255))
  }
  if (p.correlationId !== undefined) flags |= shortString(writer, CORRELATION_ID, p.correlationId, 'correlationId')
  if (p.replyTo !== undefined) flags |= shortString(writer, REPLY_TO, p.replyTo, 'replyTo')
  if (p.expirationMs !== undefined) {
    flags |= shortString(writer, EXPIRATION, String(whole('expirationMs', p.expirationMs)), 'expirationMs')
  }
  if (p.messageId !== undefined) flags |= shortString(writer, MESSAGE_ID, p.messageId, 'messageId')
  if (p.timestamp !== undefined) {
    flags |= TIMESTAMP
    writer.u64(whole('timestamp', Math.floor(p.timestamp / 1000)))
  }
  if (p.type !== undefined) flags |= shortString(writer, TYPE, p.type, 'type')
  if (p.userId !== undefined) flags |= shortString(writer, USER_ID, p.userId, 'userId')
  if (p.appId !== undefined) flags |= shortString(writer, APP_ID, p.appId, 'appId')
  writer.patch16(at, flags)
}

/** Reads flags and properties; an expiration that is no number, and a time that no Date can hold, are left out. Throws `ProtocolError` 502. */
export function readProperties(buffer: Buffer, start: number = 0, end: number = buffer.length, cache?: StringCache): MessageProperties {
  const reader = new ByteReader(buffer, start, end)
  const flags = readFlags(reader)
  const p: Mutable<MessageProperties> = {}
  if (flags & CONTENT_TYPE) p.contentType = reader.shortString(cache)
  if (flags & CONTENT_ENCODING) p.contentEncoding = reader.shortString(cache)
  if (flags & HEADERS) p.headers = readTable(reader)
  if (flags & DELIVERY_MODE) p.persistent = reader.u8() === PERSISTENT
  if (flags & PRIORITY) p.priority = reader.u8()
  if (flags & CORRELATION_ID) p.correlationId = reader.shortString()
  if (flags & REPLY_TO) p.replyTo = reader.shortString()
  if (flags & EXPIRATION) p.expirationMs = milliseconds(reader.shortString())
  if (flags & MESSAGE_ID) p.messageId = reader.shortString()
  if (flags & TIMESTAMP) p.timestamp = timeOf(reader.u64())
  if (flags & TYPE) p.type = reader.shortString(cache)
  if (flags & USER_ID) p.userId = reader.shortString()
  if (flags & APP_ID) p.appId = reader.shortString(cache)
  if (flags & CLUSTER_ID) reader.shortString()
  checkEnd(reader)
  return p
}

/** Some publishers write milliseconds or nanoseconds where seconds belong; the latter could not be written again. */
const timeOf = (seconds: number): number | undefined => (seconds * 1000 <= LAST_MS ? seconds * 1000 : undefined)

/** What a broker must know of a message to queue it. */
export interface QueueingProperties {
  readonly persistent: boolean
  readonly priority: number
  readonly expirationMs: number | undefined
}

/** As `readProperties`, but moves over everything else, headers included, without decoding it. */
export function peekProperties(buffer: Buffer, start: number = 0, end: number = buffer.length): QueueingProperties {
  const reader = new ByteReader(buffer, start, end)
  const flags = readFlags(reader)
  let persistent = false
  let priority = 0
  let expirationMs: number | undefined
  if (flags & CONTENT_TYPE) reader.skip(reader.u8())
  if (flags & CONTENT_ENCODING) reader.skip(reader.u8())
  if (flags & HEADERS) reader.skip(reader.u32())
  if (flags & DELIVERY_MODE) persistent = reader.u8() === PERSISTENT
  if (flags & PRIORITY) priority = reader.u8()
  if (flags & CORRELATION_ID) reader.skip(reader.u8())
  if (flags & REPLY_TO) reader.skip(reader.u8())
  if (flags & EXPIRATION) expirationMs = milliseconds(reader.shortString())
  if (flags & MESSAGE_ID) reader.skip(reader.u8())
  if (flags & TIMESTAMP) reader.skip(8)
  if (flags & TYPE) reader.skip(reader.u8())
  if (flags & USER_ID) reader.skip(reader.u8())
  if (flags & APP_ID) reader.skip(reader.u8())
  if (flags & CLUSTER_ID) reader.skip(reader.u8())
  checkEnd(reader)
  return { persistent, priority, expirationMs }
}

function readFlags(reader: ByteReader): number {
  const flags = reader.u16()
  if (flags & UNKNOWN) throw new ProtocolError('a content header has property flags the basic class does not know', REPLY.syntaxError)
  return flags
}

function checkEnd(reader: ByteReader): void {
  if (reader.remaining > 0) throw new ProtocolError(`${reader.remaining} bytes too many in a content header`, REPLY.syntaxError)
}

function shortString(writer: ByteWriter, flag: number, value: string, name: string): number {
  if (typeof value !== 'string') throw new CodecError(`property ${name} must be a text, got ${typeof value}`)
  writer.shortString(value, `property ${name}`)
  return flag
}

function whole(name: string, value: number, max: number = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= 0 && value <= max) return value
  throw new CodecError(`property ${name} must be a whole number from 0 to ${max}, got ${value}`)
}

function milliseconds(text: string): number | undefined {
  return /^\d{1,16}$/.test(text) ? Number(text) : undefined
}
