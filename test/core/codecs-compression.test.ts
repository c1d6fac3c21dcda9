/** Compressed bodies: Kombu's formats, and bombs. */
import { deflateSync, gzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { Compression } from '../../src/core/codec-compression.ts'
import { Codecs, EncodedBody } from '../../src/core/codecs.ts'
import { CodecError } from '../../src/core/errors.ts'

const codecs = new Codecs()
const json = (body: Uint8Array, compression: unknown): unknown =>
  codecs.decode(body, { contentType: 'application/json', headers: { compression: compression as string } })

/** 100 MB of zeros. */
const ZEROS = 100_000_000
const from = (base64: string): Buffer => Buffer.from(base64, 'base64')
const doubleDeflated = from(
  'eNrt3KFKg2EYhuHv1wUxuBlMlh3GEAaOgdmgWayCUbA5GHZPYnnJA1jzDKYmD0AMCybxl/0nIXzPdR3CGx9e7vv3z1XTlFJmT7/Lr739AgAAAFRu9jbf3Y4B' +
    'Zdiuz84vAQAAgNpd9w963Sjwc3U8cQ4AAACo3uN4NOg+BDYPtz3nAAAAgOodfX+cdlvAS/t8eOEeAAAAUL1XwQAAAACIIhgAAAAAWQQDAAAAIItgAAAAAIQR' +
    'DAAAAIAsggEAAACQRTAAAAAAsggGAAAAQBjBAAAAAMgiGAAAAABZBAMAAAAgi2AAAAAAhBEMAAAAgCyCAQAAAJBFMAAAAACyCAYAAABAGMEAAAAAyCIYAAAA' +
    'AFkW49FwuwUMNu3ddKcAAMB/6DcnN6X5A2cJOyc=',
)
const brotliBomb = from(
  'y///P/gnAOKxQCD3/o///3/wTwDEYRGA7v0f////4J8AiMMCAN37P/7//8E/ARCHBQC693/8//+DfwIgDgsAdO//+P//B/8EQBwWAOje//H//w/+CYA4LADQ' +
    'vf/j//8f/BMAcVgAoHv/x///P/gnAOKwAED3/o///3/wTwDEYQGA7v0f////4J8AiMMCAN37v/wHr8M/ARCHBQC62HU=',
)
const doubleZstd = from('KLUv/WD+Ci0BAPAotS/9gGgA4fUFTAAACAABAPz/ORACAgAQAAMIDwABAHaPf8c=')

describe('compressed bodies', () => {
  it.each(['gzip', 'brotli', 'zstd'] as const)('%s brings JSON, text and bytes through', (compression) => {
    for (const payload of [{ text: 'ü'.repeat(10_000) }, 'grüße', '', Buffer.of(0, 255)]) {
      const { body, compression: header, contentType, contentEncoding } = codecs.encode(payload, compression)
      expect(codecs.decode(body, { contentType, contentEncoding, headers: { compression: header } })).toEqual(payload)
      if (typeof payload === 'string') expect(codecs.text(body, { headers: { compression: header } })).toBe(payload)
    }
  })

  it('are written as Kombu reads them, under the names it knows', () => {
    const { body, compression } = codecs.encode({ a: 1 }, 'gzip')
    expect(compression).toBe('application/x-gzip')
    expect(String(inflateSync(body))).toBe('{"a":1}')
    expect(codecs.encode('x', 'brotli').compression).toBe('application/x-brotli')
    expect(codecs.encode('x', 'zstd').compression).toBe('application/zstd')
    expect(() => codecs.encode('x', 'gzpi' as Compression)).toThrow('did you mean "gzip"')
    expect(() => codecs.encode('x', 'toString' as Compression)).toThrow(CodecError)
  })

  it('are read under every name Kombu has for them, and as real gzip too', () => {
    const zlib = deflateSync('[1]')
    for (const name of ['application/x-gzip', 'gzip', 'zlib', 'Application/X-GZip', ' gzip ']) expect(json(zlib, name)).toEqual([1])
    expect(json(gzipSync('[1]'), 'gzip')).toEqual([1])
    expect(json(Buffer.from('[1]'), undefined)).toEqual([1])
    expect(json(Buffer.from('[1]'), null)).toEqual([1])
  })

  it.each([
    'application/x-bz2',
    'application/x-lzma',
    'xz',
    'gzip, gzip',
    'identity',
    '',
    ['gzip', 'gzip'],
    { gzip: 1 },
    7,
    true,
    'constructor',
  ])('%j is refused by its name', (compression) => {
    expect(() => json(deflateSync('[1]'), compression)).toThrow(CodecError)
    expect(() => json(deflateSync('[1]'), compression)).toThrow(/is not supported \(supported: gzip, brotli, zstd\)/)
  })

  it('that are broken, cut off or not compressed at all are refused', () => {
    const whole = deflateSync('[1,2,3,4,5,6,7,8,9]')
    for (const name of ['gzip', 'brotli', 'zstd']) {
      for (const body of [Buffer.alloc(0), Buffer.from('[1]'), whole.subarray(0, -3), whole.subarray(2), Buffer.from(whole).fill(7, 4, 9)])
        expect(() => json(body, name), name).toThrow(CodecError)
    }
    expect(() => json(whole.subarray(0, -3), 'gzip')).toThrow(/not application\/x-gzip.*"compression"/)
  })

  it('are unpacked once: what is packed twice is refused or stays packed', () => {
    const twice = deflateSync(deflateSync('[1]'))
    expect(() => json(twice, 'gzip')).toThrow(CodecError)
    expect(codecs.decode(twice, { headers: { compression: 'gzip' } })).toEqual(deflateSync('[1]'))
  })

  it('count against the limit as they are and as they unpack, and are sent on whatever their size', () => {
    const small = new Codecs({ maxBodyBytes: 1_000 })
    const headers = { compression: 'gzip' }
    expect(small.decode(deflateSync(Buffer.alloc(1_000)), { headers })).toHaveLength(1_000)
    expect(() => small.decode(deflateSync(Buffer.alloc(1_001)), { headers })).toThrow('more than 1000 bytes when decompressed')
    expect(() => small.decode(Buffer.alloc(1_001), { headers })).toThrow('has 1001 bytes')
    expect(() => small.encode('x'.repeat(1_001), 'gzip')).toThrow('1001 bytes')
    expect(small.encode(new EncodedBody(Buffer.alloc(2_000)))).toEqual({ body: Buffer.alloc(2_000) })
  })

  it('that are bombs are refused with no more memory than the limit', () => {
    const deflated = inflateSync(doubleDeflated)
    const tooLarge = 'more than 1048576 bytes when decompressed'
    const bombs: [compression: string, body: Uint8Array, reason: string][] = [
      ['gzip', deflated, tooLarge],
      ['gzip', doubleDeflated, 'not UTF-8'],
      ['brotli', brotliBomb, tooLarge],
      ['zstd', zstdDecompressSync(doubleZstd), tooLarge],
      ['zstd', doubleZstd, 'not UTF-8'],
      // One byte behind a header that asks for a window of 128 MiB (RFC 8878 §3.1.1.1.2).
      ['zstd', Buffer.from('28b52ffd008809000041', 'hex'), 'not application/zstd'],
    ]
    const strict = new Codecs({ maxBodyBytes: 1 << 20 })
    const before = process.memoryUsage().rss
    for (let round = 0; round < 8; round++)
      for (const [compression, body, reason] of bombs)
        expect(() => strict.decode(body, { contentType: 'application/json', headers: { compression } })).toThrow(reason)
    expect(process.memoryUsage().rss - before).toBeLessThan(ZEROS)
  })
})
