/**
 * The types that Kombu (from 5.3) writes into JSON as `{"__type__": …, "__value__": …}`. What JavaScript has no type for
 * becomes the text Python writes: a decimal as a number would lose digits, and a date has no time zone.
 */
import { CodecError } from './errors.ts'
import { show } from './options.ts'

const readers: ReadonlyMap<unknown, (value: unknown) => unknown> = new Map<unknown, (value: unknown) => unknown>([
  ['datetime', readDateTime],
  ['date', (value) => readText('date', value)],
  ['time', (value) => readText('time', value)],
  ['decimal', (value) => readText('decimal', value)],
  ['uuid', readUuid],
  ['bytes', (value) => Buffer.from(readText('bytes', value))],
  ['base64', (value) => Buffer.from(readText('base64', value), 'base64')],
])

/** The value such an object stands for; anything else, and a type that is not known, as it is. Throws `CodecError`. */
export function reviveKombuType(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, '__type__') || !Object.hasOwn(value, '__value__')) return value
  if (Object.keys(value).length !== 2) return value
  const read = readers.get(Reflect.get(value, '__type__'))
  return read ? read(Reflect.get(value, '__value__')) : value
}

/** Python writes a time without an offset as it is; it is taken for UTC, for the writer's zone is not known here. */
function readDateTime(value: unknown): Date {
  const text = readText('datetime', value)
  const date = new Date(/(Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`)
  return Number.isNaN(date.getTime()) ? malformed('datetime', value) : date
}

function readUuid(value: unknown): string {
  const hex: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'hex') : undefined
  if (typeof hex !== 'string' || !/^[\da-f]{32}$/i.test(hex)) return malformed('uuid', value)
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

function readText(type: string, value: unknown): string {
  return typeof value === 'string' ? value : malformed(type, value)
}

function malformed(type: string, value: unknown): never {
  throw new CodecError(`The JSON holds a "${type}" that is none: ${show(value)}`)
}
