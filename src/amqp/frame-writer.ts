import { CodecError } from '../core/errors.ts'
import type { MessageProperties } from '../core/message.ts'
import { ByteWriter } from './byte-writer.ts'
import { FRAME, FRAME_END, FRAME_MIN_SIZE, FRAME_OVERHEAD } from './frames.ts'
import { encodeMethod } from './method-codec.ts'
import type { MethodInput, MethodName } from './methods.ts'
import { writeProperties } from './properties.ts'

const BASIC_CLASS = 60
/** Larger body pieces go to the socket as they are, not copied: the caller must leave them unchanged until flushed. */
const COPY_LIMIT = 4096
/** As much as this is sent at once instead of at the end of the turn. */
const FLUSH_AT = 256 * 1024

/** What the writer needs of a socket. */
export interface FrameSink {
  write(chunk: Uint8Array): boolean
  cork(): void
  uncork(): void
  readonly writableLength: number
}

/** Methods that carry a content. */
export type ContentMethod = 'basic.publish' | 'basic.return' | 'basic.deliver' | 'basic.get-ok'

/** Encodes frames and gathers those of one turn of the event loop into one write to the socket. */
export class FrameWriter {
  /** The negotiated limit, overhead included; what does not fit is refused with `CodecError` and leaves no trace. */
  frameMax: number = FRAME_MIN_SIZE
  readonly #sink: FrameSink
  readonly #bytes = new ByteWriter(FRAME_MIN_SIZE)
  readonly #flush = (): void => {
    this.#scheduled = undefined
    this.flush()
  }
  #chunks: Uint8Array[] = []
  #gathered = 0
  #scheduled: NodeJS.Immediate | undefined
  #beforeFlush: (() => void)[] = []
  #closed = false

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /** Bytes not yet in the kernel's hands, those waiting in the socket included. */
  get pendingBytes(): number {
    return this.#gathered + this.#bytes.position + this.#sink.writableLength
  }

  /** Appends bytes that are no frame: the protocol header. */
  raw(bytes: Uint8Array): void {
    this.#begin()
    this.#bytes.bytes(bytes)
    this.#done()
  }

  heartbeat(): void {
    this.#begin()
    this.#close(this.#open(FRAME.heartbeat, 0))
    this.#done()
  }

  /** Appends a method frame. Throws `CodecError`. */
  method<N extends MethodName>(channel: number, name: N, args: MethodInput<N>): void {
    const mark = this.#begin()
    try {
      this.#method(channel, name, args)
    } catch (error) {
      this.#bytes.truncate(mark)
      throw error
    }
    this.#done()
  }

  /**
   * Appends a method with its content: header frame, and the body in as many frames as `frameMax` needs. Properties may
   * be given as the bytes they arrived as. Throws `CodecError`, and then nothing is sent.
   */
  content<N extends ContentMethod>(
    channel: number,
    name: N,
    args: MethodInput<N>,
    properties: MessageProperties | Uint8Array,
    body: Uint8Array,
  ): void {
    this.#head(channel, name, args, properties, body.length)
    this.#body(channel, body)
    this.#done()
  }

  /** Appends the beginning of a content whose body follows in `bodyPiece`s. Throws `CodecError`, and then nothing is sent. */
  contentHead<N extends ContentMethod>(channel: number, name: N, args: MethodInput<N>, properties: Uint8Array, bodySize: number): void {
    this.#head(channel, name, args, properties, bodySize)
    this.#done()
  }

  bodyPiece(channel: number, piece: Uint8Array): void {
    this.#begin()
    this.#body(channel, piece)
    this.#done()
  }

  #head<N extends ContentMethod>(
    channel: number,
    name: N,
    args: MethodInput<N>,
    properties: MessageProperties | Uint8Array,
    bodySize: number,
  ): void {
    const mark = this.#begin()
    try {
      this.#method(channel, name, args)
      const header = this.#open(FRAME.header, channel)
      this.#bytes.u16(BASIC_CLASS)
      this.#bytes.u16(0)
      this.#bytes.u64(bodySize)
      if (properties instanceof Uint8Array) this.#bytes.bytes(properties)
      else writeProperties(this.#bytes, properties)
      this.#close(header, 'properties')
    } catch (error) {
      this.#bytes.truncate(mark)
      throw error
    }
  }

  /** Calls back once, before the next flush, which it brings about: for what is best written as late as possible. */
  beforeFlush(callback: () => void): void {
    this.#beforeFlush.push(callback)
    if (!this.#closed) this.#scheduled ??= setImmediate(this.#flush)
  }

  /** Hands everything to the socket now. */
  flush(): void {
    if (this.#beforeFlush.length > 0) {
      const callbacks = this.#beforeFlush
      this.#beforeFlush = []
      for (const callback of callbacks) callback()
    }
    if (this.#bytes.position > 0) this.#seal()
    const chunks = this.#chunks
    const [first] = chunks
    if (first === undefined || this.#closed) return
    this.#chunks = []
    this.#gathered = 0
    if (chunks.length === 1) {
      this.#sink.write(first)
      return
    }
    this.#sink.cork()
    for (const chunk of chunks) this.#sink.write(chunk)
    this.#sink.uncork()
  }

  /** Drops what is not flushed and ignores what follows: for a socket that is gone. */
  close(): void {
    this.#closed = true
    this.#bytes.truncate(0)
    this.#chunks = []
    this.#gathered = 0
    if (this.#scheduled) clearImmediate(this.#scheduled)
    this.#scheduled = undefined
  }

  #begin(): number {
    const bytes = this.#bytes
    if (bytes.position > 0) {
      if (bytes.buffer.length - bytes.end < COPY_LIMIT) this.#seal()
    } else if (this.#chunks.length === 0 && this.#sink.writableLength === 0) {
      // The socket has passed everything on, so the buffer can be used again from its start.
      bytes.rewind()
    }
    return bytes.position
  }

  #done(): void {
    if (this.#closed) return this.#bytes.truncate(0)
    if (this.#gathered + this.#bytes.position >= FLUSH_AT) return this.flush()
    this.#scheduled ??= setImmediate(this.#flush)
  }

  #method<N extends MethodName>(channel: number, name: N, args: MethodInput<N>): void {
    const at = this.#open(FRAME.method, channel)
    encodeMethod(this.#bytes, name, args)
    this.#close(at, name)
  }

  #body(channel: number, body: Uint8Array): void {
    const most = this.frameMax - FRAME_OVERHEAD
    for (let from = 0; from < body.length; from += most) {
      const piece = body.length <= most ? body : body.subarray(from, from + most)
      this.#bytes.u8(FRAME.body)
      this.#bytes.u16(channel)
      this.#bytes.u32(piece.length)
      if (piece.length <= COPY_LIMIT) {
        this.#bytes.bytes(piece)
      } else {
        this.#seal()
        this.#chunks.push(piece)
        this.#gathered += piece.length
      }
      this.#bytes.u8(FRAME_END)
    }
  }

  #seal(): void {
    const taken = this.#bytes.take()
    this.#chunks.push(taken)
    this.#gathered += taken.length
  }

  #open(type: number, channel: number): number {
    const at = this.#bytes.position
    this.#bytes.u8(type)
    this.#bytes.u16(channel)
    this.#bytes.u32(0)
    return at
  }

  #close(at: number, what?: string): void {
    const bytes = this.#bytes
    bytes.u8(FRAME_END)
    const total = bytes.position - at
    if (what !== undefined && total > this.frameMax) {
      throw new CodecError(`${what} needs a frame of ${total} bytes, but frame_max is ${this.frameMax}`)
    }
    bytes.patch32(at + 3, total - FRAME_OVERHEAD)
  }
}
