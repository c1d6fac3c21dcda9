import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { Codecs } from '../../src/core/codecs.ts'
import { CodecError } from '../../src/core/errors.ts'

const codecs = new Codecs()
const through = (payload: unknown) => {
  const { body, contentEncoding, contentType } = codecs.encode(payload)
  return codecs.decode(body, { contentType, contentEncoding })
}
const decode = (body: string | Uint8Array, contentType = 'application/json') => codecs.decode(Buffer.from(body), { contentType })

class Raw {
  readonly json: string
  constructor(json: string) {
    this.json = json
  }
}

function written(value: unknown): string {
  if (value instanceof Raw) return value.json
  return Array.isArray(value) ? `[${value.map(written).join()}]` : JSON.stringify(value)
}

const spelled = (name: string, escaped: boolean): string =>
  escaped ? `"\\u${name.charCodeAt(0).toString(16).padStart(4, '0')}${name.slice(1)}"` : JSON.stringify(name)

/** As naive as any deep merge that was ever attacked. */
function merge(target: object, source: object): void {
  for (const key of Object.keys(source)) {
    const from: unknown = Reflect.get(source, key)
    const to: unknown = Reflect.get(target, key)
    if (isMergeable(from) && isMergeable(to)) merge(to, from)
    else if (isMergeable(from)) merge(Reflect.set(target, key, {}) ? Reflect.get(target, key) : {}, from)
    else Reflect.set(target, key, from)
  }
}
const isMergeable = (value: unknown): value is object => (typeof value === 'object' && value !== null) || typeof value === 'function'

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
    const names = fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'hasOwnProperty', 'a')
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof({ depthSize: 'medium' }, fc.constantFrom('polluted', 1, null), fc.array(tie('tree')), tie('table')),
      // Written by hand, for JSON.stringify has no way to repeat a name or to escape one.
      table: fc
        .array(fc.tuple(names, fc.boolean(), tie('tree')), { maxLength: 4 })
        .map((entries) => new Raw(`{${entries.map(([name, escaped, value]) => `${spelled(name, escaped)}:${written(value)}`).join()}}`)),
    }))
    const own = Reflect.ownKeys(Object.prototype)
    fc.assert(
      fc.property(tree, fc.boolean(), (value, kombuTypes) => {
        const source = written(value)
        const read = new Codecs({ kombuTypes }).decode(Buffer.from(source), { contentType: 'application/json' })
        merge({}, { read })
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
    expect(() => decode('['.repeat(65) + ']'.repeat(65))).toThrow('deeper than 64')
    expect(decode('['.repeat(64) + ']'.repeat(64))).toBeInstanceOf(Array)
    expect(decode(JSON.stringify('['.repeat(100)))).toBe('['.repeat(100))
    expect(() => decode('{')).toThrow('not JSON')
    expect(() => decode(Buffer.from([0xff, 0xfe]), 'text/plain')).toThrow('not UTF-8')
    expect(() => codecs.encode(undefined)).toThrow('undefined')
    expect(() => codecs.encode(10n)).toThrow(CodecError)
  })
})
