import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CodecError, ProtocolError } from '../../src/core/errors.ts'
import {
  ByteReader,
  ByteWriter,
  decodeMethod,
  encodeMethod,
  MAX_NESTING,
  type MethodInput,
  methodKey,
  type MethodName,
  methodNames,
  peekProperties,
  readProperties,
  readTable,
  StringCache,
  writeProperties,
  writeTable,
} from '../../src/amqp/index.ts'
import { decodeByTable, encodeByTable } from '../../src/amqp/method-codec.ts'
import type { Headers } from '../../src/core/message.ts'
import { argsOf, headers, plain, properties, shortText } from './arbitraries.ts'

/** Starts with a tiny buffer, so that growing is tested all along. */
function written(write: (writer: ByteWriter) => void): Buffer {
  const writer = new ByteWriter(1)
  write(writer)
  return writer.take()
}

const hex = (...parts: string[]): Buffer => Buffer.from(parts.join('').replaceAll(' ', ''), 'hex')

describe('methods', () => {
  it.each(methodNames)('%s is decoded to what was encoded', (name) => {
    fc.assert(
      fc.property(argsOf(name), (args) => {
        const payload = written((writer) => encodeMethod(writer, name, args as MethodInput<typeof name>))
        const method = decodeMethod(payload, 0, payload.length, new StringCache())
        expect(method.name).toBe(name)
        expect(plain(method.args)).toEqual(args)
      }),
      { numRuns: 50 },
    )
  })

  it.each(['basic.publish', 'basic.deliver', 'basic.ack', 'basic.nack', 'basic.reject'] satisfies MethodName[])(
    '%s, written out by hand, equals the table',
    (name) => {
      fc.assert(
        fc.property(argsOf(name), (args) => {
          const input = args as MethodInput<typeof name>
          const payload = written((writer) => encodeMethod(writer, name, input))
          expect(payload).toEqual(written((writer) => encodeByTable(writer, name, input)))
          expect(decodeMethod(payload)).toEqual(decodeByTable(methodKey(name), new ByteReader(payload, 4)))
        }),
      )
    },
  )

  it('has the bytes the specification says', () => {
    const declare = written((writer) =>
      encodeMethod(writer, 'queue.declare', { queue: 'q', durable: true, autoDelete: true, arguments: { 'x-max-length': 7 } }),
    )
    // Class, method, reserved, name, bits (durable 2, auto-delete 8), table.
    expect(declare).toEqual(hex('0032 000a 0000 01 71 0a 00000012 0c', Buffer.from('x-max-length').toString('hex'), '49 00000007'))
    const unbindOk = written((writer) => encodeMethod(writer, 'exchange.unbind-ok', {}))
    expect(unbindOk).toEqual(hex('0028 0033'))
  })

  it('refuses a method it does not know, arguments that are cut off, and bytes behind them', () => {
    expect(() => decodeMethod(hex('003c 00ff'))).toThrow(expect.objectContaining({ replyCode: 540 }))
    const ack = written((writer) => encodeMethod(writer, 'basic.ack', { deliveryTag: 5 }))
    expect(() => decodeMethod(ack, 0, ack.length - 1)).toThrow(expect.objectContaining({ replyCode: 502 }))
    expect(() => decodeMethod(Buffer.concat([ack, hex('00')]))).toThrow(expect.objectContaining({ replyCode: 502 }))
  })

  it('names a text that is too long for the wire', () => {
    const writer = new ByteWriter()
    expect(() => encodeMethod(writer, 'basic.publish', { exchange: 'x', routingKey: 'é'.repeat(128) })).toThrow(CodecError)
    expect(() => encodeMethod(writer, 'queue.delete', { queue: 'q'.repeat(256) })).toThrow(/queue of queue\.delete .* got 256/)
  })
})

describe('field tables', () => {
  it('are decoded to what was encoded', () => {
    fc.assert(
      fc.property(headers, (table) => {
        const reader = new ByteReader(written((writer) => writeTable(writer, table)))
        expect(plain(readTable(reader))).toEqual(table)
        expect(reader.remaining).toBe(0)
      }),
    )
  })

  it('reads every type RabbitMQ and its clients write', () => {
    const table = hex(
      '0000006e',
      '0162 62 ff', // b: int8
      '0142 42 ff', // B: uint8
      '0173 73 fffe', // s: int16
      '0175 75 fffe', // u: uint16
      '0149 49 fffffffd', // I: int32
      '0169 69 fffffffd', // i: uint32
      '016c 6c fffffffffffffffc', // l: int64
      '014c 4c 7fffffffffffffff', // L: int64, as Python writes it
      '0166 66 3fc00000', // f
      '0164 64 3ff8000000000000', // d
      '0144 44 02 ffffff85', // D: decimal
      '0174 74 01', // t
      '0154 54 0000000000000001', // T
      '0178 78 00000002 00ff', // x
      '0153 53 00000002 c3a9', // S
      '0156 56', // V
      '0170 53 00000001 ff', // S that is no UTF-8
    )
    table.writeUInt32BE(table.length - 4)
    expect(plain(readTable(new ByteReader(table)))).toEqual({
      b: -1,
      B: 255,
      s: -2,
      u: 0xfffe,
      I: -3,
      i: 0xffff_fffd,
      l: -4,
      L: 2n ** 63n - 1n,
      f: 1.5,
      d: 1.5,
      D: -1.23,
      t: true,
      T: new Date(1000),
      x: Buffer.of(0, 255),
      S: 'é',
      V: null,
      p: Buffer.of(255),
    })
  })

  it('leaves out undefined entries and never touches a prototype', () => {
    const sent: Headers = { a: undefined, b: [undefined], ['__proto__']: { polluted: true }, constructor: { prototype: {} } }
    const table = readTable(new ByteReader(written((writer) => writeTable(writer, sent))))
    expect(Object.getPrototypeOf(table)).toBe(null)
    expect(plain(table)).toEqual({ b: [null] })
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
  })

  it('limits nesting in both directions', () => {
    const nest = (levels: number): Headers => (levels === 1 ? {} : { n: nest(levels - 1) })
    const deepest = written((writer) => writeTable(writer, nest(MAX_NESTING)))
    expect(() => readTable(new ByteReader(deepest))).not.toThrow()
    expect(() => writeTable(new ByteWriter(), nest(MAX_NESTING + 1))).toThrow(/nested deeper than 32/)

    const depth = 100_000
    // An unnamed list in the table, and lists within.
    const bomb = Buffer.alloc(5 + depth * 5)
    bomb.writeUInt32BE(bomb.length - 4)
    for (let at = 5; at < bomb.length; at += 5) {
      bomb.write('A', at)
      bomb.writeUInt32BE(bomb.length - at - 5, at + 1)
    }
    expect(() => readTable(new ByteReader(bomb))).toThrow(/nested deeper than 32/)
    const self: Record<string, unknown> = {}
    self['self'] = self
    expect(() => writeTable(new ByteWriter(), self as Headers)).toThrow(/"self\.self.*holds itself/)
  })

  it('refuses values no table can hold, by name', () => {
    const write = (table: unknown) => () => writeTable(new ByteWriter(), table as Headers)
    expect(write({ a: { f: () => 1 } })).toThrow(/header "a\.f" is a function/)
    expect(write({ a: [2n ** 63n] })).toThrow(/header "a\[0\]" does not fit 64 bits/)
    expect(write({ a: { b: Number.NaN } })).toThrow(/header "a.b" is NaN, which RabbitMQ cannot read/)
    expect(write({ a: new Date(Number.NaN) })).toThrow(/header "a" is an invalid Date/)
    expect(write({ ['k'.repeat(256)]: 1 })).toThrow(/name of header/)
  })
})

describe('properties', () => {
  it('are decoded to what was encoded', () => {
    fc.assert(
      fc.property(properties, (sent) => {
        const bytes = written((writer) => writeProperties(writer, sent))
        expect(plain(readProperties(bytes))).toEqual(sent)
        expect(peekProperties(bytes)).toEqual({
          persistent: sent.persistent ?? false,
          priority: sent.priority ?? 0,
          expirationMs: sent.expirationMs,
        })
      }),
    )
  })

  it('carry the expiration as decimal milliseconds and the timestamp as whole seconds', () => {
    const bytes = written((writer) => writeProperties(writer, { expirationMs: 60_000, timestamp: 1_700_000_000_999 }))
    expect(bytes).toEqual(hex('0140 05', Buffer.from('60000').toString('hex'), '000000006553f100'))
    expect(readProperties(bytes)).toEqual({ expirationMs: 60_000, timestamp: 1_700_000_000_000 })
    // Nanoseconds, as some publishers write them.
    const foreign = written((writer) => writeProperties(writer, { timestamp: 1_700_000_000_000_000_000, type: 't' }))
    expect(readProperties(foreign)).toEqual({ type: 't' })
  })

  it('are read as Kombu writes them', () => {
    // Kombu's flag word: content type, encoding, an empty header table, delivery mode and priority.
    const bytes = hex(
      'f800 10',
      Buffer.from('application/json').toString('hex'),
      '05',
      Buffer.from('utf-8').toString('hex'),
      '00000000 02 00',
    )
    expect(plain(readProperties(bytes))).toEqual({
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      headers: {},
      persistent: true,
      priority: 0,
    })
  })

  it('refuse what the wire cannot hold, by name', () => {
    const write = (sent: object) => () => writeProperties(new ByteWriter(), sent)
    expect(write({ priority: 256 })).toThrow(/property priority must be a whole number from 0 to 255, got 256/)
    expect(write({ expirationMs: 1.5 })).toThrow(/property expirationMs/)
    expect(write({ timestamp: -1 })).toThrow(/property timestamp/)
    expect(write({ messageId: 7 })).toThrow(/property messageId must be a text, got number/)
    expect(write({ type: 'x'.repeat(300) })).toThrow(/property type may have at most 255 bytes/)
  })
})

describe('damaged bytes', () => {
  it('never raise anything but ProtocolError', () => {
    const only = (read: () => unknown): void => {
      try {
        read()
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError)
      }
    }
    const samples = fc.oneof(
      fc.uint8Array({ maxLength: 80, size: 'max' }).map((bytes) => Buffer.from(bytes)),
      fc.tuple(properties, fc.array(fc.nat(), { minLength: 1, maxLength: 4 })).map(([sent, flips]) =>
        flipped(
          written((writer) => writeProperties(writer, sent)),
          flips,
        ),
      ),
      fc.tuple(headers, fc.array(fc.nat(), { minLength: 1, maxLength: 4 })).map(([sent, flips]) =>
        flipped(
          written((writer) => writeTable(writer, sent)),
          flips,
        ),
      ),
      fc
        .constantFrom(...methodNames)
        .chain((name) => fc.tuple(fc.constant(name), argsOf(name), fc.array(fc.nat(), { minLength: 1, maxLength: 4 })))
        .map(([name, args, flips]) =>
          flipped(
            written((writer) => encodeMethod(writer, name, args as MethodInput<typeof name>)),
            flips,
          ),
        ),
    )
    fc.assert(
      fc.property(samples, (bytes) => {
        only(() => readProperties(bytes))
        only(() => peekProperties(bytes))
        only(() => readTable(new ByteReader(bytes)))
        only(() => decodeMethod(bytes))
      }),
      { numRuns: 2000 },
    )
  })
})

describe('the string cache', () => {
  it('never confuses two strings', () => {
    const cache = new StringCache()
    fc.assert(
      fc.property(fc.array(shortText, { maxLength: 300, size: 'max' }), (texts) => {
        for (const text of [...texts, ...texts]) {
          const bytes = Buffer.from(text)
          expect(cache.read(bytes, 0, bytes.length)).toBe(text)
        }
      }),
    )
  })
})

function flipped(bytes: Buffer, flips: readonly number[]): Buffer {
  for (const flip of flips) {
    const at = (flip >>> 3) % bytes.length
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (flip & 7))
  }
  return bytes
}
