import { ProtocolError } from '../core/errors.ts'
import type { MessageProperties } from '../core/message.ts'
import { ByteReader } from './byte-reader.ts'
import { FRAME } from './frames.ts'
import { readProperties } from './properties.ts'
import { REPLY } from './reply-codes.ts'
import type { StringCache } from './string-cache.ts'

const BASIC_CLASS = 60
/** Memory taken on the word of a content header alone; a larger body grows as its bytes arrive. */
const FIRST_ALLOCATION = 256 * 1024
/** Takes the pieces of a body that shall not be put together in memory. */
export interface BodyTaker {
  write(piece: Buffer): void
}

const EMPTY: Buffer = Buffer.alloc(0)

/** One message's header and body. Both may be views of read buffers that are never changed again. */
export class Content {
  readonly #header: Buffer
  readonly #propertiesStart: number
  readonly #propertiesEnd: number
  #bytes: Buffer
  #bodyStart: number
  readonly bodySize: number

  constructor(header: Buffer, propertiesStart: number, propertiesEnd: number, bytes: Buffer, bodyStart: number, bodySize: number) {
    this.#header = header
    this.#propertiesStart = propertiesStart
    this.#propertiesEnd = propertiesEnd
    this.#bytes = bytes
    this.#bodyStart = bodyStart
    this.bodySize = bodySize
  }

  /** Empty where it went to a `BodyTaker`. Views that were asked for are kept, so that both are made at most once. */
  get body(): Buffer {
    if (this.#bytes.length !== this.bodySize) {
      this.#bytes = this.#bytes.subarray(this.#bodyStart, this.#bodyStart + this.bodySize)
      this.#bodyStart = 0
    }
    return this.#bytes
  }

  /** Property flags and properties as they arrived, to be passed on unchanged. */
  get propertyBytes(): Buffer {
    return this.#header.subarray(this.#propertiesStart, this.#propertiesEnd)
  }

  /** Decodes the properties anew at each call. Throws `ProtocolError` 502. */
  readProperties(cache?: StringCache): MessageProperties {
    return readProperties(this.#header, this.#propertiesStart, this.#propertiesEnd, cache)
  }
}

/**
 * Puts a content together from the frames behind its method, for one channel. Throws `ProtocolError`: 505 for a frame out of
 * order, 311 for a body above the limit, 501 for more bytes than the header promised.
 */
export class ContentAssembler {
  readonly #bodyMax: number
  readonly #takerOf: ((bodySize: number) => BodyTaker | undefined) | undefined
  #taker: BodyTaker | undefined
  #state: 'idle' | 'header' | 'body' = 'idle'
  #header: Buffer = EMPTY
  #propertiesStart = 0
  #propertiesEnd = 0
  #bodySize = 0
  #body: Buffer = EMPTY
  #received = 0

  /** `takerOf` is asked for each body, and may return who takes its pieces. */
  constructor(bodyMax: number, takerOf?: (bodySize: number) => BodyTaker | undefined) {
    this.#bodyMax = bodyMax
    this.#takerOf = takerOf
  }

  /** True between a method that carries a content and its last frame; no other method may come on the channel then. */
  get pending(): boolean {
    return this.#state !== 'idle'
  }

  /** After a method that carries a content. */
  begin(): void {
    if (this.#state !== 'idle') throw new ProtocolError('a method came before the content of the one before it', REPLY.unexpectedFrame)
    this.#state = 'header'
  }

  /** Takes a header or body frame; returns the content when it is complete. */
  frame(type: number, buffer: Buffer, start: number, end: number): Content | undefined {
    if (type === FRAME.header && this.#state === 'header') return this.#readHeader(buffer, start, end)
    if (type === FRAME.body && this.#state === 'body') return this.#readBody(buffer, start, end)
    const wanted = this.#state === 'idle' ? 'method' : this.#state
    throw new ProtocolError(`expected a ${wanted} frame, got one of type ${type}`, REPLY.unexpectedFrame)
  }

  #readHeader(buffer: Buffer, start: number, end: number): Content | undefined {
    const reader = new ByteReader(buffer, start, end)
    const classId = reader.u16()
    const weight = reader.u16()
    const bodySize = reader.u64()
    if (classId !== BASIC_CLASS || weight !== 0) {
      throw new ProtocolError(`a content header of class ${classId} and weight ${weight}`, REPLY.frameError)
    }
    if (bodySize > this.#bodyMax) {
      throw new ProtocolError(`a body of ${bodySize} bytes is larger than the limit of ${this.#bodyMax}`, REPLY.contentTooLarge)
    }
    this.#header = buffer
    this.#propertiesStart = reader.offset
    this.#propertiesEnd = end
    this.#bodySize = bodySize
    this.#received = 0
    this.#state = 'body'
    this.#taker = this.#takerOf?.(bodySize)
    // It takes long, and would keep the whole read buffer alive.
    if (this.#taker) this.#ownHeader()
    return bodySize === 0 ? this.#finish(EMPTY, 0) : undefined
  }

  #ownHeader(): void {
    this.#header = Buffer.from(this.#header.subarray(this.#propertiesStart, this.#propertiesEnd))
    this.#propertiesStart = 0
    this.#propertiesEnd = this.#header.length
  }

  #readBody(buffer: Buffer, start: number, end: number): Content | undefined {
    const received = this.#received + (end - start)
    if (received > this.#bodySize) {
      throw new ProtocolError(`body frames hold more than the ${this.#bodySize} bytes announced`, REPLY.frameError)
    }
    if (this.#taker) {
      this.#taker.write(buffer.subarray(start, end))
      this.#received = received
      return received === this.#bodySize ? this.#finish(EMPTY, 0) : undefined
    }
    if (this.#received === 0 && received === this.#bodySize) return this.#finish(buffer, start)
    if (received > this.#body.length) this.#grow(received)
    buffer.copy(this.#body, this.#received, start, end)
    this.#received = received
    return received === this.#bodySize ? this.#finish(this.#body, 0) : undefined
  }

  #grow(needed: number): void {
    const size = Math.min(this.#bodySize, Math.max(FIRST_ALLOCATION, needed, this.#body.length * 2))
    const grown = Buffer.allocUnsafeSlow(size)
    this.#body.copy(grown, 0, 0, this.#received)
    this.#body = grown
  }

  #finish(bytes: Buffer, start: number): Content {
    const content = new Content(this.#header, this.#propertiesStart, this.#propertiesEnd, bytes, start, this.#bodySize)
    this.#state = 'idle'
    this.#header = this.#body = EMPTY
    this.#taker = undefined
    return content
  }
}
