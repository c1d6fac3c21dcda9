/** What lies in a queue of SQS, whoever wrote it, and what we write there. */
import type { Message } from '@aws-sdk/client-sqs'
import { describe, expect, it } from 'vitest'
import { CodecError } from '../../src/core/errors.ts'
import type { Headers, Outgoing } from '../../src/core/message.ts'
import { type Entry, Identities, readMessage, writeMessage } from '../../src/transports/sqs/message.ts'
import { bindingsIn, bindingTags } from '../../src/transports/sqs/tags.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const read = (Body: string, more: Message = {}) => {
  const envelope = readMessage({ MessageId: 'sqs-id', Attributes: { SentTimestamp: '1700000000000' }, ...more, Body }, 'orders')
  return { ...envelope, body: Buffer.from(envelope.body).toString(), properties: envelope.properties }
}

const KOMBU =
  '{"body": "eyJhIjogMX0=", "content-encoding": "utf-8", "content-type": "application/json", "headers": {"h": 1}, "properties": {"delivery_mode": 2, "delivery_info": {"exchange": "x", "routing_key": "k"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "t"}}'

const notification = (message: string) =>
  JSON.stringify({
    Type: 'Notification',
    MessageId: 'sns-id',
    TopicArn: 'arn:aws:sns:eu-west-1:1:news',
    Subject: 'Hello',
    Message: message,
    Timestamp: '2026-01-02T03:04:05.000Z',
    MessageAttributes: {
      kind: { Type: 'String', Value: 'a' },
      size: { Type: 'Number', Value: '7' },
      raw: { Type: 'Binary', Value: '/wA=' },
    },
  })

const json = 'application/json'
const text = 'text/plain'

describe('a message', () => {
  it.each<[string, string, object]>([
    ['of Kombu', base64(KOMBU), { body: '{"a": 1}', exchange: 'x', routingKey: 'k', properties: { contentType: json, headers: { h: 1 } } }],
    ['of Kombu, without base64', KOMBU, { body: '{"a": 1}', exchange: 'x', routingKey: 'k' }],
    ['of Kombu, through SNS', notification(KOMBU), { body: '{"a": 1}', exchange: 'x', routingKey: 'k' }],
    ['without a tag, for SQS has its own', KOMBU.replace(', "delivery_tag": "t"', ''), { body: '{"a": 1}' }],
    [
      'of JSON',
      '{"a":1}',
      {
        body: '{"a":1}',
        exchange: '',
        routingKey: 'orders',
        properties: { contentType: json, messageId: 'sqs-id', timestamp: 1_700_000_000_000 },
      },
    ],
    ['of JSON in base64', base64('{"a":1}'), { body: '{"a":1}', properties: { contentType: json } }],
    [
      'of JSON that only looks like an envelope',
      '{"type":"Feature","properties":{},"body":1}',
      { body: '{"type":"Feature","properties":{},"body":1}', properties: { contentType: json } },
    ],
    ['of text', 'hello world', { body: 'hello world', properties: { contentType: text } }],
    ['of text that could be base64', 'abcd', { body: 'abcd', properties: { contentType: text } }],
    ['of text that begins like JSON', '{hello}', { body: '{hello}', properties: { contentType: text } }],
    [
      'of SNS',
      notification('{"n":1}'),
      {
        body: '{"n":1}',
        properties: {
          contentType: json,
          messageId: 'sns-id',
          timestamp: Date.UTC(2026, 0, 2, 3, 4, 5),
          headers: { kind: 'a', size: 7, raw: Buffer.of(255, 0), 'sns-topic': 'arn:aws:sns:eu-west-1:1:news', 'sns-subject': 'Hello' },
        },
      },
    ],
    ['of SNS with text', notification('plain'), { body: 'plain', properties: { contentType: text } }],
    [
      'of EventBridge',
      '{"version":"0","id":"e-1","detail-type":"Order Placed","source":"shop","time":"2026-01-02T03:04:05Z","detail":{"n":1}}',
      {
        properties: { contentType: json, type: 'Order Placed', appId: 'shop', messageId: 'e-1', timestamp: Date.UTC(2026, 0, 2, 3, 4, 5) },
      },
    ],
    [
      'of S3',
      '{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put"}]}',
      { routingKey: 'orders', properties: { contentType: json } },
    ],
  ])('%s is read', (_, body, expected) => {
    expect(read(body)).toMatchObject(expected)
  })

  it('has the attributes of a foreign one as headers, and its group', () => {
    const attributes = {
      kind: { DataType: 'String', StringValue: 'a' },
      size: { DataType: 'Number.int', StringValue: '7' },
      raw: { DataType: 'Binary', BinaryValue: Buffer.of(255) },
    }
    const { properties } = read('x', { MessageAttributes: attributes, Attributes: { MessageGroupId: 'g' } })
    expect(properties.headers).toEqual({ kind: 'a', size: 7, raw: Buffer.of(255), MessageGroupId: 'g' })
  })

  it.each([
    ['cut short', base64(KOMBU.slice(0, -20)), 'not JSON'],
    ['cut short, without base64', KOMBU.slice(0, -20), 'not JSON'],
    ['with a body encoding nobody knows', KOMBU.replace('"base64"', '"rot13"'), 'expected "base64" or "utf-8"'],
    ['with a body that is no base64', KOMBU.replace('eyJhIjogMX0=', '{}'), 'not base64'],
    ['without a routing key', KOMBU.replace(', "routing_key": "k"', ''), 'routing_key: expected a text'],
    ['nested without end', base64(`{"body":${'['.repeat(200)}${']'.repeat(200)}}`), 'nested deeper'],
  ])('of Kombu that is %s says so, and keeps its bytes', (_, body, reason) => {
    const envelope = readMessage({ Body: body }, 'orders')
    expect(() => envelope.properties).toThrow(CodecError)
    expect(() => envelope.properties).toThrow(reason)
    expect(envelope.body.byteLength).toBeGreaterThan(0)
  })
})

describe('writing', () => {
  const identities = new Identities()
  const outgoing = (headers: Headers = {}, messageId?: string): Outgoing => ({
    exchange: 'x',
    routingKey: 'k',
    body: Buffer.from('grüße'),
    properties: { headers, ...(messageId !== undefined && { messageId }) },
    mandatory: true,
  })
  const write = (message: Outgoing, { fifo = false, delayMs = 0, bare = false } = {}): Entry =>
    writeMessage(message, { url: 'u', fifo, delayMs, arrivesAs: message }, { base64: !bare, identities, now: 1_000 })

  it('is what reading reads, in base64 or as ASCII', () => {
    for (const bare of [true, false]) {
      const { MessageBody } = write(outgoing({ at: new Date(5), emoji: '🎬\u0000\uffff' }), { bare })
      expect(MessageBody).toMatch(/^[\x20-\x7e]*$/)
      expect(read(MessageBody)).toMatchObject({
        body: 'grüße',
        exchange: 'x',
        routingKey: 'k',
        properties: { headers: { at: new Date(5), emoji: '🎬\u0000\uffff' } },
      })
    }
  })

  it("takes SQS's own fields out of the headers", () => {
    const entry = write(
      outgoing({
        DelaySeconds: 5,
        message_attributes: { kind: 'a', size: 7, raw: Buffer.of(1), full: { DataType: 'String', StringValue: 'x' } },
        own: 1,
      }),
    )
    expect(entry).toMatchObject({
      DelaySeconds: 5,
      MessageAttributes: {
        kind: { DataType: 'String', StringValue: 'a' },
        size: { DataType: 'Number', StringValue: '7' },
        raw: { DataType: 'Binary', BinaryValue: Buffer.of(1) },
        full: { DataType: 'String', StringValue: 'x' },
      },
    })
    expect(read(entry.MessageBody).properties.headers).toEqual({ own: 1 })
  })

  it('gives a FIFO queue a group, and an identity that a repetition has and a retry has not', () => {
    expect(write(outgoing({}, 'id'), { fifo: true })).toMatchObject({ MessageGroupId: 'default' })
    expect(write(outgoing({ MessageGroupId: 'g', MessageDeduplicationId: 'd' }), { fifo: true })).toMatchObject({
      MessageGroupId: 'g',
      MessageDeduplicationId: 'd',
    })
    const identity = (message: Outgoing): string | undefined => write(message, { fifo: true }).MessageDeduplicationId
    expect(identity(outgoing({}, 'id'))).toBe(identity(outgoing({}, 'id')))
    expect(identity(outgoing({ attempts: 1 }, 'id'))).not.toBe(identity(outgoing({}, 'id')))
    expect(identity(outgoing())).not.toBe(identity(outgoing()))
    const again = outgoing()
    expect(identity(again)).toBe(identity(again))
  })

  it('delays by whole seconds as long as SQS can, and leaves the rest to the reader', () => {
    expect(write(outgoing(), { delayMs: 1_200 })).toMatchObject({ DelaySeconds: 2 })
    expect(write(outgoing(), { delayMs: 1_200 }).MessageAttributes).toBeUndefined()
    expect(write(outgoing(), { delayMs: 3_600_000 })).toMatchObject({
      DelaySeconds: 900,
      MessageAttributes: { 'omnibus-due': { StringValue: '3601000' } },
    })
    expect(write(outgoing(), { delayMs: 5_000, fifo: true })).toMatchObject({
      MessageAttributes: { 'omnibus-due': { StringValue: '6000' } },
    })
    expect(write(outgoing(), { delayMs: 5_000, fifo: true }).DelaySeconds).toBeUndefined()
  })

  it.each<[Headers, string]>([
    [{ DelaySeconds: -1 }, 'Header "DelaySeconds" must be a whole number'],
    [{ message_attributes: 7 }, 'Header "message_attributes" must be an object'],
    [{ message_attributes: { a: [1] } }, 'Message attribute "a" must be a text, a number'],
    [{ MessageGroupId: 7 }, 'Header "MessageGroupId" must be a text'],
  ])('refuses %j', (headers, reason) => {
    expect(() => write(outgoing(headers), { fifo: true })).toThrow(CodecError)
    expect(() => write(outgoing(headers), { fifo: true })).toThrow(reason)
  })
})

it('a binding becomes tags that AWS takes, and is read from them, whatever its length', () => {
  const binding = {
    exchange: 'очередь'.repeat(18),
    type: 'headers',
    routingKey: '#.*'.repeat(80),
    arguments: { at: new Date(5), n: 2n ** 60n },
  } as const
  const tags = bindingTags('q', binding)
  expect(Object.keys(tags).length).toBeGreaterThan(1)
  for (const [key, value] of Object.entries(tags)) {
    expect(key).toMatch(/^[\w:/=+\-@. ]{1,128}$/)
    expect(value).toMatch(/^[\w:/=+\-@. ]{0,256}$/)
  }
  expect(bindingsIn({ ...tags, team: 'a', 'omnibus:binding:x': 'nonsense', 'omnibus:binding:y': 'e30' })).toEqual([binding])
})
