/** Kombu's virtual message, as Kombu itself wrote it, as we write it, and broken in every way it can be. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CodecError } from '../../src/core/errors.ts'
import type { Headers, MessageProperties } from '../../src/core/message.ts'
import { readEnvelope, unreadable, writeEnvelope } from '../../src/transports/kit/envelope.ts'

/** What Kombu 5.2 puts on a Redis list for `publish({'a': 1}, exchange='orders', routing_key='rk1')`. */
const KOMBU =
  '{"body": "eyJhIjogMX0=", "content-encoding": "utf-8", "content-type": "application/json", "headers": {}, "properties": {"delivery_mode": 2, "delivery_info": {"exchange": "orders", "routing_key": "rk1"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "b87c1e10-7403-4742-a682-5602735762f1"}}'

interface Changeable {
  [key: string]: unknown
  properties: { [key: string]: unknown; delivery_info: Record<string, unknown> }
}

/** The same, changed. */
function changed(change: (envelope: Changeable) => void): string {
  const envelope = JSON.parse(KOMBU) as Changeable
  change(envelope)
  return JSON.stringify(envelope)
}

const through = (properties: MessageProperties, body: Uint8Array = Buffer.from('{}')) =>
  readEnvelope(writeEnvelope({ exchange: 'x', routingKey: 'k', body, properties }, 'tag'))

const full: MessageProperties = {
  contentType: 'application/json',
  contentEncoding: 'utf-8',
  headers: { tenant: 'a' },
  persistent: false,
  priority: 4,
  correlationId: 'c-1',
  replyTo: 'answers',
  expirationMs: 60_000,
  messageId: 'id-1',
  timestamp: 1_700_000_000_000,
  type: 'order.created',
  userId: 'me',
  appId: 'shop',
}

describe('an envelope', () => {
  it('is written as Kombu writes it', () => {
    const { body, properties, exchange, routingKey, deliveryTag } = readEnvelope(KOMBU)
    expect(Buffer.from(body).toString()).toBe('{"a": 1}')
    const written = writeEnvelope({ exchange, routingKey, body, properties }, deliveryTag)
    expect(JSON.parse(written)).toEqual(JSON.parse(KOMBU))
  })

  it('carries every property under the name Kombu gives it', () => {
    const written = JSON.parse(
      writeEnvelope({ exchange: 'x', routingKey: 'k', body: Buffer.from('b'), properties: full }, 'tag'),
    ) as unknown
    expect(written).toEqual({
      body: 'Yg==',
      'content-encoding': 'utf-8',
      'content-type': 'application/json',
      headers: { tenant: 'a' },
      properties: {
        correlation_id: 'c-1',
        reply_to: 'answers',
        expiration: '60000',
        message_id: 'id-1',
        timestamp: 1_700_000_000,
        type: 'order.created',
        user_id: 'me',
        app_id: 'shop',
        delivery_mode: 1,
        delivery_info: { exchange: 'x', routing_key: 'k' },
        priority: 4,
        body_encoding: 'base64',
        delivery_tag: 'tag',
      },
    })
    expect(through(full)).toMatchObject({ exchange: 'x', routingKey: 'k', properties: full, deliveryTag: 'tag', redelivered: false })
  })

  it('tells an empty text from none', () => {
    expect(through({}).properties).toEqual({ headers: {}, persistent: true, priority: 0 })
    expect(through({ contentType: '', messageId: '' }).properties).toMatchObject({ contentType: '', messageId: '' })
  })

  it('carries any bytes', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => Buffer.from(through({}, bytes).body).equals(bytes)))
  })

  it('carries headers that JSON has no type for', () => {
    const headers: Headers = {
      at: new Date(1_700_000_000_123),
      raw: Uint8Array.of(0, 255),
      huge: 9_007_199_254_740_993n,
      negative: -(2n ** 70n),
      small: 7n,
      deep: { list: [1.5, null, [true], { '': 'empty name' }] },
      ['a "quoted" name']: '\u0000 \ud800 \\',
      gone: undefined,
    }
    const { gone: _, small: __, raw: ___, ...same } = headers
    const read = through({ headers }).properties.headers!
    expect(read).toMatchObject(same)
    expect(read['small']).toBe(7)
    expect(Buffer.from(read['raw'] as Uint8Array)).toEqual(Buffer.of(0, 255))
    expect('gone' in read).toBe(false)
  })

  it.each([
    ['not a number', { a: { b: [Number.NaN] } }, 'Header "a.b[0]" cannot be written as JSON: it is NaN'],
    ['no date', { at: new Date(Number.NaN) }, 'Header "at" is a date that is none'],
    ['endless', Array.from({ length: 40 }).reduce<Headers>((inner) => ({ inner }), {}), 'nested deeper than 32 levels'],
  ])('is not written with a header that is %s', (_, headers, reason) => {
    expect(() => through({ headers })).toThrow(CodecError)
    expect(() => through({ headers })).toThrow(reason)
  })

  it.each<[string, string, object]>([
    ['without a body encoding', changed((e) => delete e.properties['body_encoding']), { body: Buffer.from('eyJhIjogMX0=') }],
    [
      'with text as it is',
      changed((e) => Object.assign(e, { body: 'grüße' }, (e.properties['body_encoding'] = 'utf-8'))),
      { body: Buffer.from('grüße') },
    ],
    ['with base64 in lines', changed((e) => (e['body'] = 'eyJh\nIjog\r\nMX0=\n')), { body: Buffer.from('{"a": 1}') }],
    [
      'with as little as Kombu insists on',
      '{"body":"","properties":{"delivery_tag":1,"delivery_info":{"exchange":null,"routing_key":"q"}}}',
      { exchange: '', routingKey: 'q', deliveryTag: '1' },
    ],
    ['that Kombu has put back', changed((e) => (e['headers'] = { redelivered: true })), { redelivered: true }],
    ['that says so where it was delivered', changed((e) => (e.properties.delivery_info['redelivered'] = true)), { redelivered: true }],
    ['with null for what was not given', changed((e) => Object.assign(e, { headers: null, 'content-type': null })), { redelivered: false }],
    [
      'with a number for an id',
      changed((e) => (e.properties['message_id'] = 7)),
      { properties: expect.objectContaining({ messageId: '7' }) },
    ],
    [
      'with a Python time',
      changed((e) => (e.properties['timestamp'] = '2026-01-02T03:04:05Z')),
      { properties: expect.objectContaining({ timestamp: Date.UTC(2026, 0, 2, 3, 4, 5) }) },
    ],
    [
      'with nonsense where nobody looks',
      changed((e) => Object.assign(e.properties, { priority: 'high', expiration: {}, type: [], timestamp: 'now' })),
      { routingKey: 'rk1' },
    ],
  ])('is read %s', (_, source, expected) => {
    expect(readEnvelope(source)).toMatchObject(expected)
    expect(readEnvelope(Buffer.from(source))).toMatchObject(expected)
  })

  it.each<[string, string | Uint8Array, string]>([
    ['empty', '', 'not JSON'],
    ['not JSON', 'hello', 'not JSON'],
    ['no object', '[1]', 'The envelope: expected an object, got [1]'],
    ['without properties', changed((e) => Reflect.deleteProperty(e, 'properties')), 'properties: expected an object, got nothing'],
    ['without a tag', changed((e) => delete e.properties['delivery_tag']), 'properties.delivery_tag: expected a text, got nothing'],
    [
      'without delivery info',
      changed((e) => Reflect.deleteProperty(e.properties, 'delivery_info')),
      'properties.delivery_info: expected an object',
    ],
    [
      'without an exchange',
      changed((e) => delete e.properties.delivery_info['exchange']),
      'properties.delivery_info.exchange: expected a text',
    ],
    [
      'without a routing key',
      changed((e) => delete e.properties.delivery_info['routing_key']),
      'properties.delivery_info.routing_key: expected a text',
    ],
    ['without a body', changed((e) => delete e['body']), 'body: expected a text, got nothing'],
    [
      'with a body encoding nobody knows',
      changed((e) => (e.properties['body_encoding'] = 'rot13')),
      'expected "base64" or "utf-8", got "rot13"',
    ],
    ['with a body that is no base64', changed((e) => (e['body'] = '{"a":1}!')), 'is not base64'],
    ['with base64 cut short', changed((e) => (e['body'] = 'eyJhIjogMX0')), 'is not base64'],
    [
      'with half a character',
      changed((e) => Object.assign(e, { body: '\ud83c' }, (e.properties['body_encoding'] = null))),
      'half a character',
    ],
    ['of bytes that are no UTF-8', Buffer.concat([Buffer.from('{"body":"'), Buffer.of(0xff, 0xfe), Buffer.from('"}')]), 'not UTF-8'],
    ['nested without end', `${'['.repeat(20_000)}${']'.repeat(20_000)}`, 'nested deeper than 64 levels'],
    ['with headers that are a list', changed((e) => (e['headers'] = [1])), 'headers: expected an object'],
    [
      'with a header of a broken type',
      changed((e) => (e['headers'] = { a: { __type__: 'datetime', __value__: 7 } })),
      'holds a "datetime" that is none',
    ],
  ])('that is %s is refused by name', (_, source, reason) => {
    expect(() => readEnvelope(source)).toThrow(CodecError)
    expect(() => readEnvelope(source)).toThrow(reason)
  })

  it('cut short anywhere is refused', () => {
    for (let end = 0; end < KOMBU.length; end++) expect(() => readEnvelope(KOMBU.slice(0, end))).toThrow(CodecError)
  })

  it('changes no prototype', () => {
    const { headers } = readEnvelope(changed((e) => (e['headers'] = JSON.parse('{"__proto__":{"polluted":1},"a":2}')))).properties
    expect(Object.getOwnPropertyNames(headers)).toEqual(['a'])
  })

  it('is read whatever it holds, or refused by name', () => {
    fc.assert(
      fc.property(fc.json(), fc.json(), fc.json(), (one, two, three) => {
        try {
          readEnvelope(`{"body":${one},"headers":${two},"properties":${three}}`)
        } catch (error) {
          expect(error).toBeInstanceOf(CodecError)
        }
      }),
    )
  })
})

it('what cannot be read is kept as its bytes, and says why when looked into', () => {
  const error = new CodecError('broken')
  expect(Buffer.from(unreadable('{', error).body).toString()).toBe('{')
  expect(() => unreadable(Buffer.of(255), error).properties).toThrow(error)
})
