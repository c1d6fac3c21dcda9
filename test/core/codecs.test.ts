import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Codecs } from '../../src/core/codecs.ts'
import { CodecError } from '../../src/core/errors.ts'

const codecs = new Codecs()
const through = (payload: unknown) => {
  const { body, contentEncoding, contentType } = codecs.encode(payload)
  return codecs.decode(body, { contentType, contentEncoding })
}
const decode = (body: string | Uint8Array, contentType = 'application/json') => codecs.decode(Buffer.from(body), { contentType })

describe('Codecs', () => {
  it('bring any JSON value, text and bytes through unchanged', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        // JSON has no negative zero.
        expect(through(value)).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
    expect(through('grüße')).toBe('grüße')
    expect(through(Uint8Array.of(0, 255))).toEqual(Uint8Array.of(0, 255))
  })

  it('write the content types Kombu takes without being asked', () => {
    expect(codecs.encode({}).contentType).toBe('application/json')
    expect(codecs.encode('text')).toMatchObject({ contentType: 'text/plain', contentEncoding: 'utf-8' })
    expect(codecs.encode(Buffer.of(1))).toMatchObject({ contentType: 'application/data', contentEncoding: 'binary' })
  })

  it('decode only what is on the accept list, whatever the spelling', () => {
    expect(decode('{}', 'Application/JSON; charset=utf-8')).toEqual({})
    for (const type of ['application/x-python-serialize', 'application/json+x', 'text/html', 'application/x-yaml']) {
      expect(() => decode('{}', type)).toThrow(CodecError)
    }
    const picky = new Codecs({ accept: ['application/json'] })
    expect(() => picky.decode(Buffer.from('x'), { contentType: 'text/plain' })).toThrow('not accepted')
  })

  it('never let a body change a prototype, however it is spelled', () => {
    for (const body of [
      '{"__proto__": {"polluted": 1}}',
      '{"\\u005f_proto__": {"polluted": 1}}',
      '[{"a": {"__proto__": {"polluted": 1}}}]',
    ]) {
      const value = decode(body)
      expect(JSON.stringify(value)).not.toContain('polluted')
      expect(Object.getPrototypeOf(Object.assign({}, value))).toBe(Object.prototype)
    }
  })

  it('refuse what is too large, too deep, no JSON or no UTF-8', () => {
    const small = new Codecs({ maxBodyBytes: 10 })
    expect(() => small.encode('x'.repeat(11))).toThrow('11 bytes')
    expect(() => small.decode(Buffer.alloc(11), { contentType: 'text/plain' })).toThrow('11 bytes')
    expect(() => decode('['.repeat(65) + ']'.repeat(65))).toThrow('deeper than 64')
    expect(decode('['.repeat(64) + ']'.repeat(64))).toBeInstanceOf(Array)
    expect(decode(JSON.stringify('['.repeat(100)))).toBe('['.repeat(100))
    expect(() => decode('{')).toThrow('not JSON')
    expect(() => decode(Buffer.from([0xff, 0xfe]), 'text/plain')).toThrow('not UTF-8')
    expect(() => codecs.encode(undefined)).toThrow('undefined')
    expect(() => codecs.encode(10n)).toThrow(CodecError)
  })
})
