/**
 * Headers as JSON, for brokers that carry texts. What JSON has no type for is written as Kombu (from 5.3) writes it,
 * `{"__type__": …, "__value__": …}`, which older ones read as the object it is; a whole number of any size as its digits.
 */
import { reviveKombuType } from '../../core/codec-kombu-types.ts'
import { CodecError } from '../../core/errors.ts'
import { mayHoldPrototype, withoutPrototype } from '../../core/json-prototype.ts'
import type { Headers, HeaderValue } from '../../core/message.ts'

/** Tables and lists within one another. */
const MAX_NESTING = 32

/** Entries that are `undefined` are left out. Throws `CodecError` naming the header it cannot write. */
export function writeJsonHeaders(headers: Headers | undefined): string {
  return headers === undefined ? '{}' : writeTable(headers, '', 1)
}

/** Parses JSON that holds headers somewhere. Throws `SyntaxError`, and `CodecError` for a `__type__` with a wrong value. */
export function parseWithHeaders(source: string): unknown {
  return source.includes('"__type__"') || LONG_NUMBER.test(source) || mayHoldPrototype(source)
    ? JSON.parse(source, revive as (key: string, value: unknown) => unknown)
    : JSON.parse(source)
}

/** As many digits as can be too many for a double. */
const LONG_NUMBER = /\d{16}/

function revive(key: string, value: unknown, context: { readonly source?: string }): unknown {
  const { source } = context
  if (typeof value === 'number' && !Number.isSafeInteger(value) && source !== undefined && /^-?\d+$/.test(source)) return BigInt(source)
  return reviveKombuType(withoutPrototype(key, value))
}

function writeTable(table: Headers, path: string, depth: number): string {
  if (depth > MAX_NESTING) throw new CodecError(`Header "${path}" is nested deeper than ${MAX_NESTING} levels`)
  const entries: string[] = []
  for (const name of Object.keys(table)) {
    const value = table[name]
    if (value !== undefined) entries.push(`${JSON.stringify(name)}:${writeValue(value, path === '' ? name : `${path}.${name}`, depth)}`)
  }
  return `{${entries.join(',')}}`
}

function writeValue(value: HeaderValue, path: string, depth: number): string {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value)
    case 'number':
      if (!Number.isFinite(value)) break
      return String(value)
    case 'bigint':
      return String(value)
    case 'undefined':
      return 'null'
    case 'object':
      if (value === null) return 'null'
      if (value instanceof Date) return typed('datetime', isoOf(value, path))
      if (value instanceof Uint8Array) return typed('base64', Buffer.from(value).toString('base64'))
      if (isList(value)) return writeList(value, path, depth + 1)
      return writeTable(value, path, depth + 1)
  }
  throw new CodecError(`Header "${path}" cannot be written as JSON: it is ${typeof value === 'number' ? value : `a ${typeof value}`}`)
}

function writeList(list: readonly HeaderValue[], path: string, depth: number): string {
  if (depth > MAX_NESTING) throw new CodecError(`Header "${path}" is nested deeper than ${MAX_NESTING} levels`)
  return `[${list.map((item, i) => writeValue(item, `${path}[${i}]`, depth)).join(',')}]`
}

const isList = (value: object): value is readonly HeaderValue[] => Array.isArray(value)

const typed = (type: string, value: string): string => `{"__type__":"${type}","__value__":"${value}"}`

function isoOf(date: Date, path: string): string {
  if (Number.isNaN(date.getTime())) throw new CodecError(`Header "${path}" is a date that is none`)
  return date.toISOString()
}
