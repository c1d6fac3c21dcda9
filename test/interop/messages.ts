/** Bodies and properties that Kombu writes and we read, and the other way round, on every broker. */
import { gzipSync } from 'node:zlib'
import type { MessageProperties, PublishOptions } from 'omnibus'
import { bytes } from './python-peers.ts'

const binary = Buffer.from([0, 0xff, 0xfe, 0x80])
const long = { text: 'ü'.repeat(5_000) }
const at = Date.UTC(2026, 0, 2, 3, 4, 5)

/** Every property, by our names and by Kombu's; their expirations are written apart, since Kombu takes seconds and tells a text. */
const ours = {
  priority: 7,
  expirationMs: 60_500,
  persistent: false,
  correlationId: 'c-1',
  replyTo: 'answers',
  messageId: 'm-1',
  timestamp: at,
  type: 'greeting',
  appId: 'app',
}
const theirs = {
  priority: 7,
  delivery_mode: 1,
  correlation_id: 'c-1',
  reply_to: 'answers',
  message_id: 'm-1',
  timestamp: at / 1_000,
  type: 'greeting',
  app_id: 'app',
}

/** What Kombu is told to send, what our payload is, and some of our properties. */
export const written: [what: string, message: Record<string, unknown>, payload: unknown, properties?: MessageProperties][] = [
  ['JSON', { body: { n: 1, text: 'grüße' } }, { n: 1, text: 'grüße' }, { contentType: 'application/json', persistent: true }],
  [
    'JSON with what 5.2 has a text for',
    { body: { at: { $: 'datetime', value: '2026-01-02T03:04:05+00:00' } } },
    { at: '2026-01-02T03:04:05Z' },
  ],
  ['a text', { body: 'grüße 🎬' }, 'grüße 🎬', { contentType: 'text/plain', contentEncoding: 'utf-8' }],
  ['a text in another charset', { body: 'grüße', content_type: 'text/plain', content_encoding: 'latin-1' }, 'grüße'],
  ['a text in UTF-16', { body: 'grüße', content_type: 'text/plain', content_encoding: 'utf-16-le' }, 'grüße'],
  ['nothing', { body: '', content_type: 'text/plain', content_encoding: 'utf-8' }, ''],
  ['bytes', { body: bytes(binary) }, binary, { contentType: 'application/data', contentEncoding: 'binary' }],
  ['gzip', { body: long, compression: 'gzip' }, long, { headers: { compression: 'application/x-gzip' } }],
  ['zlib by its other name', { body: 'grüße', compression: 'zlib' }, 'grüße'],
  ['real gzip', { body: bytes(gzipSync('"zipped"')), content_type: 'application/json', headers: { compression: 'gzip' } }, 'zipped'],
  ['compressed bytes', { body: bytes(binary), compression: 'gzip' }, binary],
  [
    'headers',
    { body: {}, headers: { text: 'grüße', big: 2 ** 40, half: 0.5, list: [1, [true]], none: null } },
    {},
    { headers: { text: 'grüße', big: 2 ** 40, half: 0.5, list: [1, [true]], none: null } },
  ],
  ['every property', { body: {}, ...theirs, expiration: 60.5 }, {}, ours],
]

/** What we send, and what Kombu tells of it. */
export const sent: [what: string, payload: unknown, options: PublishOptions, told: object][] = [
  ['JSON', { n: 1, text: 'grüße' }, {}, { body: { n: 1, text: 'grüße' }, content_type: 'application/json', delivery_mode: 2 }],
  ['a text', 'grüße 🎬', {}, { body: 'grüße 🎬', content_type: 'text/plain' }],
  ['bytes', binary, {}, { body: bytes(binary), content_type: 'application/data' }],
  ['gzip', long, { compression: 'gzip', headers: { also: 1 } }, { body: long, headers: { also: 1 } }],
  ['compressed bytes', binary, { compression: 'gzip' }, { body: bytes(binary) }],
  ['every property', {}, ours, { ...theirs, expiration: '60500' }],
]
