/**
 * Field tables in the dialect RabbitMQ and its clients speak, which differs from the letters of AMQP 0-9-1 §4.2.1
 * (https://www.rabbitmq.com/amqp-0-9-1-errata, section 3).
 */
import { CodecError, ProtocolError } from '../core/errors.ts'
import type { Headers, HeaderValue } from '../core/message.ts'
import { ByteReader } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'
import { REPLY } from './reply-codes.ts'

/** Tables and lists within one another; RabbitMQ's own deepest, `x-death`, needs 2. */
export const MAX_NESTING = 32

const letter = (character: string): number => character.charCodeAt(0)
const T = {
  boolean: letter('t'),
  int8: letter('b'),
  uint8: letter('B'),
  int16: letter('s'),
  uint16: letter('u'),
  int32: letter('I'),
  uint32: letter('i'),
  int64: letter('l'),
  int64OfPython: letter('L'),
  float: letter('f'),
  double: letter('d'),
  decimal: letter('D'),
  string: letter('S'),
  bytes: letter('x'),
  list: letter('A'),
  timestamp: letter('T'),
  table: letter('F'),
  nothing: letter('V'),
} as const

const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n
/** The largest time a `Date` can hold. Milliseconds. */
const DATE_MAX = 8.64e15

/** Appends a table. Entries that are `undefined` are left out. Throws `CodecError` naming the entry it cannot write. */
export function writeTable(writer: ByteWriter, table: Headers, path = ''): void {
  writeTableAt(writer, table, path, 1)
}

/** Reads a table; the result has no prototype, no `__proto__` and no `constructor.prototype`, whatever the peer sent. Throws `ProtocolError`. */
export function readTable(reader: ByteReader): Headers {
  return readTableAt(reader, 1)
}

function writeTableAt(writer: ByteWriter, table: Headers, path: string, depth: number): void {
  checkDepth(depth, path)
  const at = writer.position
  writer.u32(0)
  for (const name of Object.keys(table)) {
    const value = table[name]
    if (value === undefined) continue
    const where = path === '' ? name : `${path}.${name}`
    writer.shortString(name, `the name of header "${where}"`)
    writeValue(writer, value, where, depth)
  }
  writer.patch32(at, writer.position - at - 4)
}

function writeValue(writer: ByteWriter, value: HeaderValue, path: string, depth: number): void {
  switch (typeof value) {
    case 'string':
      writer.u8(T.string)
      return writer.longString(value)
    case 'boolean':
      writer.u8(T.boolean)
      return writer.u8(value ? 1 : 0)
    case 'number':
      return writeNumber(writer, value, path)
    case 'bigint':
      if (value < INT64_MIN || value > INT64_MAX) throw new CodecError(`header "${path}" does not fit 64 bits: ${value}`)
      writer.u8(T.int64)
      return writer.i64(value)
    case 'object':
      return writeObject(writer, value, path, depth)
    case 'undefined':
      return writer.u8(T.nothing)
    default:
      throw new CodecError(`header "${path}" is a ${typeof value}, which a header cannot hold`)
  }
}

function writeNumber(writer: ByteWriter, value: number, path: string): void {
  // RabbitMQ has no such number, and closes the connection (541) over it.
  if (!Number.isFinite(value)) throw new CodecError(`header "${path}" is ${value}, which RabbitMQ cannot read`)
  if ((value | 0) === value) {
    writer.u8(T.int32)
    writer.u32(value)
  } else if (Number.isSafeInteger(value)) {
    writer.u8(T.int64)
    writer.i64(BigInt(value))
  } else {
    writer.u8(T.double)
    writer.f64(value)
  }
}

function writeObject(writer: ByteWriter, value: HeaderValue & (object | null), path: string, depth: number): void {
  if (value === null) return writer.u8(T.nothing)
  if (value instanceof Date) {
    const seconds = Math.floor(value.getTime() / 1000)
    if (Number.isNaN(seconds)) throw new CodecError(`header "${path}" is an invalid Date`)
    writer.u8(T.timestamp)
    return writer.i64(BigInt(seconds))
  }
  if (value instanceof Uint8Array) {
    writer.u8(T.bytes)
    return writer.longBytes(value)
  }
  if (isList(value)) {
    checkDepth(depth + 1, path)
    writer.u8(T.list)
    const at = writer.position
    writer.u32(0)
    value.forEach((item, i) => writeValue(writer, item, `${path}[${i}]`, depth + 1))
    return writer.patch32(at, writer.position - at - 4)
  }
  writer.u8(T.table)
  writeTableAt(writer, value, path, depth + 1)
}

const isList = (value: object): value is readonly HeaderValue[] => Array.isArray(value)

function checkDepth(depth: number, path: string): void {
  if (depth > MAX_NESTING) throw new CodecError(`header "${path}" is nested deeper than ${MAX_NESTING} levels, or holds itself`)
}

function readTableAt(reader: ByteReader, depth: number): Headers {
  const end = nestedEnd(reader, depth)
  const table: Record<string, HeaderValue> = Object.create(null)
  while (reader.offset < end) {
    const name = reader.shortString()
    const value = readValue(reader, depth)
    if (!changesPrototypes(name, value)) table[name] = value
  }
  checkEnd(reader, end)
  return table
}

/** A name that would become the prototype of whatever the headers are copied into, or lead a deep merge to that of all objects. */
function changesPrototypes(name: string, value: HeaderValue): boolean {
  return name === '__proto__' || (name === 'constructor' && typeof value === 'object' && value !== null && 'prototype' in value)
}

function readList(reader: ByteReader, depth: number): readonly HeaderValue[] {
  const end = nestedEnd(reader, depth)
  const list: HeaderValue[] = []
  while (reader.offset < end) list.push(readValue(reader, depth))
  checkEnd(reader, end)
  return list
}

function nestedEnd(reader: ByteReader, depth: number): number {
  if (depth > MAX_NESTING) throw new ProtocolError(`a field table is nested deeper than ${MAX_NESTING} levels`, REPLY.syntaxError)
  const length = reader.u32()
  if (length > reader.remaining) {
    throw new ProtocolError(`a field table of ${length} bytes, but only ${reader.remaining} are there`, REPLY.syntaxError)
  }
  return reader.offset + length
}

function checkEnd(reader: ByteReader, end: number): void {
  if (reader.offset !== end) throw new ProtocolError('a field table has another length than its entries', REPLY.syntaxError)
}

function readValue(reader: ByteReader, depth: number): HeaderValue {
  const type = reader.u8()
  switch (type) {
    case T.string:
      return readText(reader.longBytes())
    case T.int32:
      return reader.i32()
    case T.boolean:
      return reader.u8() !== 0
    case T.table:
      return readTableAt(reader, depth + 1)
    case T.list:
      return readList(reader, depth + 1)
    case T.int64:
    case T.int64OfPython:
      return narrowed(reader.i64())
    case T.timestamp:
      return readTimestamp(reader)
    case T.double:
      return reader.f64()
    case T.nothing:
      return null
    case T.bytes:
      return Buffer.from(reader.longBytes())
    case T.int8:
      return reader.i8()
    case T.uint8:
      return reader.u8()
    case T.int16:
      return reader.i16()
    case T.uint16:
      return reader.u16()
    case T.uint32:
      return reader.u32()
    case T.float:
      return reader.f32()
    case T.decimal: {
      const scale = reader.u8()
      return reader.i32() / 10 ** scale
    }
    default:
      throw new ProtocolError(`unknown field type ${type} ("${String.fromCharCode(type)}") in a field table`, REPLY.syntaxError)
  }
}

/** Python's clients write bytes with the letter of text; what is no UTF-8 stays bytes. */
function readText(bytes: Buffer): string | Uint8Array {
  const text = bytes.toString('utf8')
  return text.includes('\ufffd') && !Buffer.from(text).equals(bytes) ? Buffer.from(bytes) : text
}

/** A time no `Date` can hold stays a number of seconds. */
function readTimestamp(reader: ByteReader): Date | number | bigint {
  const seconds = narrowed(reader.i64())
  return typeof seconds === 'number' && Math.abs(seconds) * 1000 <= DATE_MAX ? new Date(seconds * 1000) : seconds
}

function narrowed(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
