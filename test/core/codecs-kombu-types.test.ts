/** The JSON types of newer Kombu: objects by default, values when asked for. */
import { describe, expect, it } from 'vitest'
import { Codecs } from '../../src/core/codecs.ts'
import { CodecError } from '../../src/core/errors.ts'

const read = (json: string, kombuTypes = true): unknown =>
  new Codecs({ kombuTypes }).decode(Buffer.from(json), { contentType: 'application/json' })
const typed = (type: string, value: unknown): string => JSON.stringify({ deep: [{ __type__: type, __value__: value }] })

describe("Kombu's JSON types", () => {
  it.each([
    ['datetime', '2026-01-02T03:04:05.678901+00:00', new Date('2026-01-02T03:04:05.678Z')],
    ['datetime', '2026-01-02T03:04:05+02:00', new Date('2026-01-02T01:04:05Z')],
    ['datetime', '2026-01-02T03:04:05', new Date('2026-01-02T03:04:05Z')],
    ['date', '2026-01-02', '2026-01-02'],
    ['time', '03:04:05', '03:04:05'],
    ['decimal', '0.10000000000000000000001', '0.10000000000000000000001'],
    ['uuid', { hex: '123e4567e89b12d3a456426614174000' }, '123e4567-e89b-12d3-a456-426614174000'],
    ['uuid', { hex: '123e4567e89b42d3a456426614174000', version: 4 }, '123e4567-e89b-42d3-a456-426614174000'],
    ['bytes', 'grüße', Buffer.from('grüße')],
    ['base64', '/wA=', Buffer.of(255, 0)],
    ['someone/elses', [1], { __type__: 'someone/elses', __value__: [1] }],
  ])('%s %j', (type, value, expected) => {
    expect(read(typed(type, value))).toEqual({ deep: [expected] })
    expect(read(typed(type, value), false)).toEqual({ deep: [{ __type__: type, __value__: value }] })
  })

  it.each([
    ['datetime', 'yesterday'],
    ['datetime', 7],
    ['uuid', '123e4567'],
    ['uuid', { hex: 'x' }],
    ['base64', null],
    ['decimal', 1.5],
  ])('%s %j is refused', (type, value) => {
    expect(() => read(typed(type, value))).toThrow(CodecError)
    expect(() => read(typed(type, value))).toThrow(`holds a "${type}" that is none`)
  })

  it('are only what has these two keys and no other', () => {
    for (const value of [{ __type__: 'bytes' }, { __value__: 'x' }, { __type__: 'bytes', __value__: 'x', more: 1 }])
      expect(read(JSON.stringify(value))).toEqual(value)
  })

  it('leave prototypes alone', () => {
    expect(read('{"__type__":"bytes","__value__":"x","__proto__":{"polluted":1}}')).toEqual(Buffer.from('x'))
    expect(read('[{"__type__":"x","__value__":{"__proto__":{"polluted":1}}}]')).toEqual([{ __type__: 'x', __value__: {} }])
  })
})
