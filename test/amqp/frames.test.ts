import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CodecError, ProtocolError } from '../../src/core/errors.ts'
import {
  type Content,
  ContentAssembler,
  decodeMethod,
  FRAME,
  FrameReader,
  FrameWriter,
  type Method,
  PROTOCOL_HEADER,
} from '../../src/amqp/index.ts'
import type { MessageProperties } from '../../src/core/message.ts'
import { plain, properties, shortText } from './arbitraries.ts'

const BODY_MAX = 1 << 20

interface Message {
  readonly channel: number
  readonly routingKey: string
  readonly properties: MessageProperties
  readonly body: Buffer
}

/** A sink that keeps what was written; `stuck` is a socket whose peer does not read. */
class Sink {
  readonly written: Buffer[] = []
  writes = 0
  corked = false
  stuck = false
  writableLength = 0

  write(chunk: Uint8Array): boolean {
    if (!this.corked) this.writes++
    // A stuck socket keeps the bytes themselves, as a real one does.
    this.written.push(this.stuck ? (chunk as Buffer) : Buffer.from(chunk))
    if (this.stuck) this.writableLength += chunk.length
    return !this.stuck
  }

  cork(): void {
    this.corked = true
    this.writes++
  }

  uncork(): void {
    this.corked = false
  }
}

function stream(messages: readonly Message[], frameMax: number): Buffer {
  const sink = new Sink()
  const writer = new FrameWriter(sink)
  writer.frameMax = frameMax
  for (const message of messages) {
    writer.heartbeat()
    writer.content(message.channel, 'basic.publish', { exchange: 'x', routingKey: message.routingKey }, message.properties, message.body)
  }
  writer.flush()
  return Buffer.concat(sink.written)
}

/** What a receiver makes of the chunks. */
function received(chunks: readonly Buffer[], frameMax: number): { methods: Method[]; contents: Content[]; heartbeats: number } {
  const methods: Method[] = []
  const contents: Content[] = []
  let heartbeats = 0
  const assemblers = new Map<number, ContentAssembler>()
  const reader = new FrameReader({
    frameMax,
    onFrame: (type, channel, buffer, start, end) => {
      if (type === FRAME.heartbeat) return void heartbeats++
      const assembler = assemblers.get(channel) ?? new ContentAssembler(BODY_MAX)
      assemblers.set(channel, assembler)
      if (type === FRAME.method) {
        methods.push(decodeMethod(buffer, start, end))
        return assembler.begin()
      }
      const content = assembler.frame(type, buffer, start, end)
      if (content) contents.push(content)
    },
  })
  for (const chunk of chunks) reader.push(chunk)
  return { methods, contents, heartbeats }
}

function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set([0, ...cuts.map((c) => c % (bytes.length + 1)), bytes.length])].toSorted((a, b) => a - b)
  return at.slice(1).map((end, i) => Buffer.from(bytes.subarray(at[i], end)))
}

const message: fc.Arbitrary<Message> = fc.record({
  channel: fc.integer({ min: 1, max: 3 }),
  routingKey: shortText,
  properties: properties.filter((sent) => sent.headers === undefined || JSON.stringify(plain(sent.headers), replacer).length < 1000),
  body: fc.nat({ max: 20_000 }).map((size) => Buffer.alloc(size, `body of ${size}`)),
})
const replacer = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value)
const messages = fc.array(message, { minLength: 1, maxLength: 6 })

describe('reading what was written', () => {
  it('is the same however the bytes are cut', () => {
    fc.assert(
      fc.property(
        messages,
        fc.array(fc.nat(), { maxLength: 30, size: 'max' }),
        fc.constantFrom(4096, 8192, 131_072),
        (sent, cuts, frameMax) => {
          const { methods, contents, heartbeats } = received(cut(stream(sent, frameMax), cuts), frameMax)
          expect(heartbeats).toBe(sent.length)
          expect(methods.map((m) => m.name === 'basic.publish' && m.args.routingKey)).toEqual(sent.map((m) => m.routingKey))
          expect(contents.map((c) => plain(c.readProperties()))).toEqual(sent.map((m) => m.properties))
          expect(contents.map((c) => c.body.equals(sent[contents.indexOf(c)]?.body ?? Buffer.of(0)))).toEqual(sent.map(() => true))
        },
      ),
    )
  })

  it('works one byte at a time, the protocol header included', () => {
    const types: number[] = []
    const reader = new FrameReader({ frameMax: 4096, expectHeader: true, onFrame: (type) => void types.push(type) })
    const bytes = Buffer.concat([
      PROTOCOL_HEADER,
      stream([{ channel: 1, routingKey: 'k', properties: {}, body: Buffer.from('hello') }], 4096),
    ])
    expect(reader.awaitsHeader).toBe(true)
    for (const byte of bytes) reader.push(Buffer.of(byte))
    expect(reader.awaitsHeader).toBe(false)
    expect(types).toEqual([FRAME.heartbeat, FRAME.method, FRAME.header, FRAME.body])
  })

  it('does not copy a body that came in one frame', () => {
    const bytes = stream([{ channel: 1, routingKey: 'k', properties: {}, body: Buffer.from('hello') }], 4096)
    const body = received([bytes], 4096).contents[0]?.body
    expect(body?.toString()).toBe('hello')
    expect(body?.buffer).toBe(bytes.buffer)
  })

  it('stops within a chunk when told to', () => {
    let frames = 0
    const reader = new FrameReader({
      frameMax: 4096,
      onFrame: () => {
        frames++
        reader.stop()
      },
    })
    reader.push(stream([{ channel: 1, routingKey: 'k', properties: {}, body: Buffer.from('hello') }], 4096))
    reader.push(Buffer.from('not AMQP at all'))
    expect(frames).toBe(1)
  })
})

describe('damaged streams', () => {
  it('raise ProtocolError or are read, nothing else', () => {
    const flips = fc.array(fc.nat(), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(messages, fc.array(fc.nat(), { maxLength: 10 }), flips, (sent, cuts, bits) => {
        const bytes = stream(sent, 4096)
        for (const bit of bits) bytes[(bit >>> 3) % bytes.length]! ^= 1 << (bit & 7)
        try {
          const { contents } = received(cut(bytes, cuts), 4096)
          for (const content of contents) content.readProperties()
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError)
        }
      }),
      { numRuns: 500 },
    )
  })

  const refusal = (replyCode: number, text: RegExp): unknown =>
    expect.objectContaining({ name: 'ProtocolError', replyCode, message: expect.stringMatching(text) })

  it('are refused by name', () => {
    const read =
      (bytes: Buffer, expectHeader = false) =>
      () =>
        new FrameReader({ frameMax: 4096, expectHeader, onFrame: () => undefined }).push(bytes)
    expect(read(Buffer.from('0800000000000000', 'hex'))).toThrow(refusal(501, /ends with octet 0 instead of 206/))
    expect(read(Buffer.from('010001ffffffff', 'hex'))).toThrow(refusal(501, /larger than frame_max 4096/))
    expect(read(Buffer.from('AMQP\0\0\u0009\u0001'))).toThrow(refusal(501, /another version of AMQP/))
    expect(read(Buffer.from('HTTP/1.1 400 Bad Request\r\n'))).toThrow(refusal(501, /does not speak AMQP/))
    expect(read(Buffer.from('GET / HTTP/1.1\r\n'), true)).toThrow(refusal(501, /expected the header of AMQP 0-9-1, got "GET/))
  })

  it('never make the reader allocate for a frame above the limit', () => {
    const before = process.memoryUsage().arrayBuffers
    const reader = new FrameReader({ frameMax: 4096, onFrame: () => undefined })
    expect(() => reader.push(Buffer.from('0100017fffffff', 'hex'))).toThrow(ProtocolError)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20)
  })

  it('cannot make a body larger than announced, or than allowed', () => {
    const header = (size: number): Buffer => {
      const bytes = Buffer.alloc(14)
      bytes.writeUInt16BE(60)
      bytes.writeBigUInt64BE(BigInt(size), 4)
      return bytes
    }
    const assembler = (size: number): ContentAssembler => {
      const fresh = new ContentAssembler(1000)
      fresh.begin()
      fresh.frame(FRAME.header, header(size), 0, 14)
      return fresh
    }
    expect(() => assembler(1001)).toThrow(refusal(311, /1001 bytes is larger than the limit of 1000/))
    expect(() => assembler(2 ** 40)).toThrow(refusal(311, /limit/))
    const body = Buffer.alloc(800)
    const growing = assembler(1000)
    expect(growing.frame(FRAME.body, body, 0, 800)).toBeUndefined()
    expect(() => growing.frame(FRAME.body, body, 0, 201)).toThrow(refusal(501, /more than the 1000 bytes/))
    expect(() => assembler(10).frame(FRAME.header, header(10), 0, 14)).toThrow(refusal(505, /expected a body frame/))
    expect(() => new ContentAssembler(1).frame(FRAME.body, body, 0, 1)).toThrow(refusal(505, /expected a method frame/))
    expect(() => assembler(10).begin()).toThrow(refusal(505, /before the content/))
  })
})

describe('the writer', () => {
  it('sends the frames of one turn in one write', async () => {
    const sink = new Sink()
    const writer = new FrameWriter(sink)
    for (let tag = 1; tag <= 1000; tag++) writer.method(1, 'basic.ack', { deliveryTag: tag })
    expect(sink.writes).toBe(0)
    await new Promise((resolve) => setImmediate(resolve))
    expect(sink.writes).toBe(1)
    const tags: number[] = []
    const reader = new FrameReader({
      frameMax: 4096,
      onFrame: (_type, _channel, buffer, start, end) => {
        const method = decodeMethod(buffer, start, end)
        if (method.name === 'basic.ack') tags.push(method.args.deliveryTag)
      },
    })
    for (const chunk of sink.written) reader.push(chunk)
    expect(tags).toEqual(Array.from({ length: 1000 }, (_, i) => i + 1))
  })

  it('leaves bytes alone that a slow socket still holds', () => {
    const sink = new Sink()
    const writer = new FrameWriter(sink)
    writer.frameMax = 131_072
    sink.stuck = true
    for (let round = 0; round < 50; round++) {
      for (let tag = 0; tag < 100; tag++) writer.method(1, 'basic.ack', { deliveryTag: round * 100 + tag })
      writer.flush()
    }
    expect(writer.pendingBytes).toBe(5000 * 21)
    let next = 0
    const reader = new FrameReader({
      frameMax: 4096,
      onFrame: (_type, _channel, buffer, start, end) =>
        expect(decodeMethod(buffer, start, end)).toEqual({ name: 'basic.ack', args: { deliveryTag: next++, multiple: false } }),
    })
    for (const chunk of sink.written) reader.push(chunk)
    expect(next).toBe(5000)
  })

  it('writes nothing of a message it cannot encode, and all of the next', () => {
    const sink = new Sink()
    const writer = new FrameWriter(sink)
    const publish = (sent: MessageProperties, routingKey: string): void =>
      writer.content(1, 'basic.publish', { exchange: '', routingKey }, sent, Buffer.from('x'))
    publish({}, 'first')
    expect(() => publish({ headers: { big: 'x'.repeat(5000) } }, 'too large')).toThrow(
      /properties needs a frame of \d+ bytes, but frame_max is 4096/,
    )
    expect(() => publish({ priority: 300 }, 'wrong')).toThrow(CodecError)
    publish({}, 'second')
    writer.flush()
    const { methods } = received(sink.written, 4096)
    expect(methods.map((m) => m.name === 'basic.publish' && m.args.routingKey)).toEqual(['first', 'second'])
  })

  it('ignores everything after close', () => {
    const sink = new Sink()
    const writer = new FrameWriter(sink)
    writer.heartbeat()
    writer.close()
    writer.heartbeat()
    writer.flush()
    expect(sink.written).toEqual([])
    expect(writer.pendingBytes).toBe(0)
  })
})
