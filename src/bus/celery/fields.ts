/** Values of a task message, which anybody may have written: what is not as Celery writes it is refused by name. */
import { CodecError } from '../../core/errors.ts'
import { show } from '../../core/options.ts'

export type Fields = Readonly<Record<string, unknown>>

export const isRecord = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value)

/** How Python says it is not there. */
const isNothing = (value: unknown): value is null | undefined => value === null || value === undefined

export const unexpected = (subject: string, expected: string, got: unknown): CodecError =>
  new CodecError(`Expected ${subject} of a Celery task as ${expected}, got ${show(got)}`)

export function textIn(fields: Fields, name: string): string | undefined {
  const value = fields[name]
  if (isNothing(value) || value === '') return undefined
  if (typeof value !== 'string') throw unexpected(name, 'a text', value)
  return value
}

export function countIn(fields: Fields, name: string): number | undefined {
  const value = fields[name]
  if (isNothing(value)) return undefined
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw unexpected(name, 'a whole number from 0', value)
  return value as number
}

export function secondsIn(fields: Fields, name: string): number | undefined {
  const value = fields[name]
  if (isNothing(value)) return undefined
  if (typeof value !== 'number' || !Number.isFinite(value)) throw unexpected(name, 'seconds', value)
  return value
}

export const toMs = (seconds: number | undefined): number | undefined => (seconds === undefined ? undefined : seconds * 1_000)

export function listIn(fields: Fields, name: string): readonly unknown[] {
  const value = fields[name]
  if (isNothing(value)) return []
  if (!Array.isArray(value)) throw unexpected(name, 'a list', value)
  return value
}

export function recordIn(fields: Fields, name: string): Fields {
  const value = fields[name]
  if (isNothing(value)) return {}
  if (!isRecord(value)) throw unexpected(name, 'a map', value)
  return value
}

/** As Python's `isoformat()` writes it, with microseconds and perhaps an offset. */
const ISO_8601 = /^\d{4}-\d\d-\d\d([T ][\d:.]+)?(?<offset>Z|[+-]\d\d:?\d\d)?$/i

/** Milliseconds since 1970. A text without an offset is UTC, as Celery's own are. */
export function timeIn(fields: Fields, name: string): number | undefined {
  const value = fields[name]
  if (isNothing(value) || value === '') return undefined
  // As Kombu writes it into JSON from 5.3 on.
  const told = isRecord(value) && value['__type__'] === 'datetime' ? value['__value__'] : value
  const time = told instanceof Date ? told.getTime() : typeof told === 'string' ? isoTime(told) : Number.NaN
  if (Number.isNaN(time)) throw unexpected(name, 'a date as ISO 8601 has it', value)
  return time
}

function isoTime(text: string): number {
  const found = ISO_8601.exec(text)
  if (!found) return Number.NaN
  return Date.parse(found.groups?.['offset'] === undefined ? `${text}Z` : text)
}
