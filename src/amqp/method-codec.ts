import { ProtocolError } from '../core/errors.ts'
import { ByteReader } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'
import { readTable, writeTable } from './field-table.ts'
import { hotReaders, hotWriters } from './hot-methods.ts'
import { type FieldType, type Method, type MethodInput, type MethodName, METHODS, methodKey, methodNames } from './methods.ts'
import { REPLY } from './reply-codes.ts'
import type { StringCache } from './string-cache.ts'

interface Codec {
  readonly name: MethodName
  readonly key: number
  readonly fields: readonly { readonly name: string; readonly type: FieldType; readonly reserved: boolean }[]
}

const codecOf = (name: MethodName): Codec => ({
  name,
  key: methodKey(name),
  fields: Object.entries(METHODS[name].args).map(([field, type]) => ({ name: field, type, reserved: field.startsWith('reserved') })),
})

const codecs: ReadonlyMap<string, Codec> = new Map(methodNames.map((name) => [name, codecOf(name)]))
const codecsByKey: ReadonlyMap<number, Codec> = new Map([...codecs.values()].map((codec) => [codec.key, codec]))

/**
 * Reads the payload of a method frame. Throws `ProtocolError`: 540 for a method that is unknown, 502 for arguments
 * that do not fit the table.
 */
export function decodeMethod(buffer: Buffer, start: number = 0, end: number = buffer.length, cache?: StringCache): Method {
  const reader = new ByteReader(buffer, start, end)
  const key = reader.u32()
  const hot = hotReaders.get(key)
  const method = hot ? hot(reader, cache) : decodeByTable(key, reader)
  if (reader.remaining > 0) throw new ProtocolError(`${reader.remaining} bytes too many in ${method.name}`, REPLY.syntaxError)
  return method
}

/** Appends the payload of a method frame. Throws `CodecError` for an argument the wire cannot hold. */
export function encodeMethod<N extends MethodName>(writer: ByteWriter, name: N, args: MethodInput<N>): void {
  const hot = hotWriters[name]
  if (hot) hot(writer, args as never)
  else encodeByTable(writer, name, args)
}

/** As `decodeMethod` after the ids, by the table alone. */
export function decodeByTable(key: number, reader: ByteReader): Method {
  const codec = codecsByKey.get(key)
  if (!codec) throw new ProtocolError(`unknown method ${key >>> 16}.${key & 0xffff}`, REPLY.notImplemented)
  const args: Record<string, unknown> = {}
  let bits = 0
  let bit = 8
  for (const field of codec.fields) {
    if (field.type === 'bit') {
      // Neighbouring bits share octets, lowest bit first (AMQP 0-9-1 §4.2.5.2).
      if (bit === 8) [bits, bit] = [reader.u8(), 0]
      args[field.name] = ((bits >> bit++) & 1) === 1
    } else {
      bit = 8
      args[field.name] = readField(reader, field.type)
    }
    if (field.reserved) delete args[field.name]
  }
  return { name: codec.name, args } as unknown as Method
}

/** As `encodeMethod`, by the table alone. */
export function encodeByTable<N extends MethodName>(writer: ByteWriter, name: N, args: MethodInput<N>): void {
  const codec = codecs.get(name)
  if (!codec) throw new TypeError(`no AMQP method is named "${name}"`)
  writer.u32(codec.key)
  const values: Readonly<Record<string, unknown>> = args
  let bits = 0
  let used = 0
  for (const field of codec.fields) {
    const value = field.reserved ? undefined : values[field.name]
    if (field.type === 'bit') {
      bits |= (value === true ? 1 : 0) << used++
      if (used < 8) continue
    }
    if (used > 0) {
      writer.u8(bits)
      bits = used = 0
    }
    if (field.type !== 'bit') writeField(writer, field.type, value, `${field.name} of ${name}`)
  }
  if (used > 0) writer.u8(bits)
}

function readField(reader: ByteReader, type: Exclude<FieldType, 'bit'>): unknown {
  switch (type) {
    case 'octet':
      return reader.u8()
    case 'short':
      return reader.u16()
    case 'long':
      return reader.u32()
    case 'longlong':
      return reader.u64()
    case 'shortstr':
      return reader.shortString()
    case 'longstr':
      return Buffer.from(reader.longBytes())
    case 'table':
      return readTable(reader)
  }
}

function writeField(writer: ByteWriter, type: Exclude<FieldType, 'bit'>, value: unknown, what: string): void {
  switch (type) {
    case 'octet':
      return writer.u8(Number(value ?? 0))
    case 'short':
      return writer.u16(Number(value ?? 0))
    case 'long':
      return writer.u32(Number(value ?? 0))
    case 'longlong':
      return writer.u64(Number(value ?? 0))
    case 'shortstr':
      return writer.shortString(String(value ?? ''), what)
    case 'longstr':
      return writer.longBytes(value instanceof Uint8Array ? value : new Uint8Array())
    case 'table':
      return writeTable(writer, typeof value === 'object' && value !== null ? { ...value } : {})
  }
}
