import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { Codecs } from '../../src/core/codecs.ts'
import { CodecError } from '../../src/core/errors.ts'
import { hostileJson, mergeCarelessly } from './hostile-json.ts'

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
        fc.pre(!JSON.stringify(value).includes('proto'))
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
    for (const type of ['application/json', 'Application/JSON; charset=utf-8', ' application/json\t;x', 'APPLICATION/JSON;'])
      expect(decode('{}', type)).toEqual({})
    const picky = new Codecs({ accept: ['Application/JSON', 'application/cloudevents+json', 'text/html', 'image/png'] })
    expect(picky.decode(Buffer.from('{}'), { contentType: 'application/cloudevents+json' })).toEqual({})
    expect(picky.decode(Buffer.from('{}'), { contentType: 'text/html' })).toBe('{}')
    expect(picky.decode(Buffer.from('{}'), { contentType: 'image/png' })).toEqual(Buffer.from('{}'))
    expect(() => picky.decode(Buffer.from('x'), { contentType: 'text/plain' })).toThrow('not accepted')
  })

  it('touch nothing of a body whose type is not accepted', () => {
    const pickle = ['application/x-python-serialize', 'application/pickle', 'application/x-pickle', 'application/python-pickle']
    const others = ['application/x-yaml', 'text/yaml', 'application/yaml', 'application/x-msgpack', 'application/msgpack', 'text/html']
    const near = [
      'application/json+x',
      'application/ld+json',
      'text/json',
      'application/x-json',
      'json',
      'application',
      '/',
      ';',
      'application/json, x',
    ]
    const spelled = pickle.flatMap((type) => [type.toUpperCase(), `${type}; charset=utf-8`, ` ${type} `, `${type};application/json`])
    const body = {
      get byteLength(): number {
        throw new Error('looked at')
      },
    }
    const parse = vi.spyOn(JSON, 'parse')
    for (const contentType of [...pickle, ...others, ...near, ...spelled])
      expect(() => codecs.decode(body as Uint8Array, { contentType, headers: { compression: 'gzip' } }), contentType).toThrow(
        'not accepted',
      )
    expect(parse).not.toHaveBeenCalled()
    parse.mockRestore()
  })

  it('read text in the charset it says, and refuse one that is not known', () => {
    const text = (body: Uint8Array, contentEncoding?: string, contentType = 'text/plain'): unknown =>
      codecs.decode(body, { contentType, contentEncoding })
    const latin1 = Buffer.from('grüße\x80', 'latin1')
    for (const charset of ['latin-1', 'latin1', 'ISO-8859-1', 'iso8859_1']) expect(text(latin1, charset)).toBe('grüße\x80')
    for (const charset of ['utf-8', 'UTF8', 'utf_8', 'us-ascii', 'binary', '', undefined])
      expect(text(Buffer.from('grüße'), charset)).toBe('grüße')
    for (const charset of ['utf-16', 'utf-16le', 'utf-16-le']) expect(text(Buffer.from('grüße', 'utf16le'), charset)).toBe('grüße')
    expect(text(latin1, undefined, 'text/plain; Charset="iso-8859-1"')).toBe('grüße\x80')
    expect(() => text(latin1, 'utf-8')).toThrow('not UTF-8 text')
    expect(() => text(latin1, 'klingon')).toThrow('charset "klingon"')
  })

  it('never let a body change a prototype, however it is spelled', () => {
    for (const body of [
      '{"__proto__": {"polluted": 1}}',
      '{"\\u005f_proto__": {"polluted": 1}}',
      '{"\\u005F\\u005Fproto__": {"polluted": 1}}',
      '[{"a": {"__proto__": {"polluted": 1}}}]',
      '{"constructor": {"prototype": {"polluted": 1}}}',
      '{"\\u0063onstructor": {"\\u0070rototype": {"polluted": 1}}}',
    ]) {
      const value = decode(body)
      expect(JSON.stringify(value)).not.toContain('polluted')
      expect(Object.getPrototypeOf(Object.assign({}, value))).toBe(Object.prototype)
    }
    // A car has one too.
    expect(decode('{"constructor": "Ferrari", "prototype": {"of": "SF-26"}}')).toEqual({
      constructor: 'Ferrari',
      prototype: { of: 'SF-26' },
    })
  })

  it('leave Object.prototype alone for any JSON, even where it is merged carelessly', () => {
    const own = Reflect.ownKeys(Object.prototype)
    fc.assert(
      fc.property(hostileJson, fc.boolean(), (source, kombuTypes) => {
        const read = new Codecs({ kombuTypes }).decode(Buffer.from(source), { contentType: 'application/json' })
        mergeCarelessly({}, { read })
        expect(Reflect.ownKeys(Object.prototype)).toEqual(own)
        expect(Object.getPrototypeOf(Object.assign({}, read))).toBe(Object.prototype)
        expect(({} as { a?: unknown }).a).toBeUndefined()
      }),
      { numRuns: 500 },
    )
  })

  it('refuse what is too large, too deep, no JSON or no UTF-8', () => {
    const small = new Codecs({ maxBodyBytes: 10 })
    expect(() => small.encode('x'.repeat(11))).toThrow('11 bytes')
    expect(() => small.decode(Buffer.alloc(11), { contentType: 'text/plain' })).toThrow('11 bytes')
    for (const depth of [65, 20_000]) expect(() => decode('['.repeat(depth) + ']'.repeat(depth))).toThrow('deeper than 64')
    expect(() => codecs.encode(JSON.parse('['.repeat(20_000) + ']'.repeat(20_000)))).toThrow(CodecError)
    expect(decode('['.repeat(64) + ']'.repeat(64))).toBeInstanceOf(Array)
    expect(decode(JSON.stringify('['.repeat(100)))).toBe('['.repeat(100))
    expect(() => decode('{')).toThrow('not JSON')
    expect(() => decode(Buffer.from([0xff, 0xfe]), 'text/plain')).toThrow('not UTF-8')
    expect(() => codecs.encode(undefined)).toThrow('undefined')
    expect(() => codecs.encode(10n)).toThrow(CodecError)
  })
})
