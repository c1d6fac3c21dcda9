/** Random values of everything the AMQP codec carries. */
import fc from 'fast-check'
import type { Headers, HeaderValue, MessageProperties } from '../../src/core/message.ts'
import { METHODS, type MethodName } from '../../src/amqp/index.ts'

/** At most 255 bytes of UTF-8, without lone surrogates, which UTF-8 cannot hold. */
export const shortText = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => Buffer.byteLength(text) <= 255)
const key = shortText.filter((name) => name !== '__proto__')
const bytes = fc.uint8Array({ maxLength: 40 }).map((value) => Buffer.from(value))
const wholeSeconds = fc.integer({ min: -8_640_000_000_000, max: 8_640_000_000_000 }).map((seconds) => new Date(seconds * 1000))
const beyondNumbers = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).filter((value) => !Number.isSafeInteger(Number(value)))

/** Values whose decoded form equals what was written; -0 becomes 0, so it is left out. */
export const headers: fc.Arbitrary<Headers> = fc.letrec<{ table: Headers; value: HeaderValue }>((tie) => ({
  table: fc.dictionary(key, tie('value'), { maxKeys: 5 }),
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.string({ unit: 'grapheme' }),
    fc.boolean(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value)),
    beyondNumbers,
    fc.constant(null),
    wholeSeconds,
    bytes,
    fc.array(tie('value'), { maxLength: 4 }),
    tie('table'),
  ),
})).table

const optional = { requiredKeys: [] }
export const properties: fc.Arbitrary<MessageProperties> = fc.record(
  {
    contentType: shortText,
    contentEncoding: shortText,
    headers,
    persistent: fc.boolean(),
    priority: fc.integer({ min: 0, max: 255 }),
    correlationId: shortText,
    replyTo: shortText,
    expirationMs: fc.nat(),
    messageId: shortText,
    timestamp: fc.nat().map((seconds) => seconds * 1000),
    type: shortText,
    userId: shortText,
    appId: shortText,
  },
  optional,
)

const fieldValues: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  bit: fc.boolean(),
  octet: fc.integer({ min: 0, max: 255 }),
  short: fc.integer({ min: 0, max: 0xffff }),
  long: fc.integer({ min: 0, max: 0xffff_ffff }),
  longlong: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  shortstr: shortText,
  longstr: bytes,
  table: headers,
}

/** Arguments for one method, every one it shows. */
export function argsOf(name: MethodName): fc.Arbitrary<Record<string, unknown>> {
  const shown = Object.entries(METHODS[name].args).filter(([field]) => !field.startsWith('reserved'))
  return fc.record(Object.fromEntries(shown.map(([field, type]) => [field, fieldValues[type] ?? fc.constant(undefined)])))
}

/** Decoded tables have no prototype; comparing wants plain ones. */
export function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Date || value instanceof Uint8Array) return value
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]))
}
