import { ProtocolError } from '../core/errors.ts'
import { FRAME, FRAME_END, FRAME_HEADER_BYTES, PROTOCOL_HEADER } from './frames.ts'
import { REPLY } from './reply-codes.ts'

export interface FrameReaderOptions {
  /** Largest frame taken, its 8 bytes of overhead included. Change `frameMax` of the reader after tuning. */
  readonly frameMax: number
  /** A server's end: the first bytes must be the protocol header. @default false */
  readonly expectHeader?: boolean
  /**
   * Called for each frame, in order. The payload lies in `buffer` from `start` to `end`; the bytes are never changed
   * afterwards, but the buffer may be a whole read chunk: copy what is kept for long. What it throws leaves `push`.
   */
  readonly onFrame: (type: number, channel: number, buffer: Buffer, start: number, end: number) => void
}

/**
 * Cuts a byte stream into frames. A frame that lies whole in one chunk is handed on in place; one that is cut apart is
 * put together in a buffer of its own, allocated only after its size passed the limit.
 */
export class FrameReader {
  frameMax: number
  readonly #onFrame: FrameReaderOptions['onFrame']
  #awaitsHeader: boolean
  /** The bytes of an unfinished frame; `#have` of them are there. Before its size is known, room for the header only. */
  #partial: Buffer | undefined
  #have = 0
  #stopped = false

  constructor(options: FrameReaderOptions) {
    this.frameMax = options.frameMax
    this.#onFrame = options.onFrame
    this.#awaitsHeader = options.expectHeader ?? false
  }

  /** True until the protocol header has been accepted: a server answers an error then with its own header (§4.2.2). */
  get awaitsHeader(): boolean {
    return this.#awaitsHeader
  }

  /** Throws `ProtocolError`, after which the stream cannot be read on. Keeps no reference to a chunk that ends with a frame. */
  push(chunk: Buffer): void {
    let offset = 0
    while (this.#partial === undefined && !this.#stopped) {
      const left = chunk.length - offset
      if (this.#awaitsHeader) {
        if (left === 0) return
        if (left < PROTOCOL_HEADER.length) return this.#keep(chunk, offset, PROTOCOL_HEADER.length)
        this.#acceptHeader(chunk, offset)
        offset += PROTOCOL_HEADER.length
        continue
      }
      if (left < FRAME_HEADER_BYTES) {
        if (left > 0) this.#keep(chunk, offset, FRAME_HEADER_BYTES)
        return
      }
      const total = this.#frameLength(chunk, offset)
      if (left < total) return this.#keep(chunk, offset, total)
      this.#hand(chunk, offset, total)
      offset += total
    }
    if (!this.#stopped && offset < chunk.length) this.#resume(chunk, offset)
  }

  /** Hands on no more frames, also not the rest of the chunk being read. */
  stop(): void {
    this.#stopped = true
    this.#partial = undefined
  }

  #keep(chunk: Buffer, offset: number, total: number): void {
    const partial = Buffer.allocUnsafeSlow(total)
    this.#have = chunk.copy(partial, 0, offset)
    this.#partial = partial
  }

  #resume(chunk: Buffer, from: number): void {
    let offset = from
    let partial = this.#partial
    if (partial === undefined) return
    offset += this.#fill(partial, chunk, offset)
    if (this.#have < partial.length) return
    if (!this.#awaitsHeader && partial.length === FRAME_HEADER_BYTES) {
      const total = this.#frameLength(partial, 0)
      const whole = Buffer.allocUnsafeSlow(total)
      partial.copy(whole, 0, 0, FRAME_HEADER_BYTES)
      this.#partial = partial = whole
      offset += this.#fill(partial, chunk, offset)
      if (this.#have < total) return
    }
    this.#partial = undefined
    if (this.#awaitsHeader) this.#acceptHeader(partial, 0)
    else this.#hand(partial, 0, partial.length)
    if (offset < chunk.length) this.push(offset === 0 ? chunk : chunk.subarray(offset))
  }

  #fill(partial: Buffer, chunk: Buffer, offset: number): number {
    const copied = chunk.copy(partial, this.#have, offset)
    this.#have += copied
    return copied
  }

  #acceptHeader(buffer: Buffer, offset: number): void {
    const got = buffer.subarray(offset, offset + PROTOCOL_HEADER.length)
    if (!got.equals(PROTOCOL_HEADER)) {
      throw new ProtocolError(`expected the header of AMQP 0-9-1, got ${JSON.stringify(got.toString('latin1'))}`, REPLY.frameError)
    }
    this.#awaitsHeader = false
  }

  /** The length of the frame that begins at `offset`, all of it; checked. */
  #frameLength(buffer: Buffer, offset: number): number {
    const type = buffer[offset] ?? 0
    if (type !== FRAME.method && type !== FRAME.header && type !== FRAME.body && type !== FRAME.heartbeat) {
      throw new ProtocolError(unknownType(buffer, offset), REPLY.frameError)
    }
    const total = buffer.readUInt32BE(offset + 3) + FRAME_HEADER_BYTES + 1
    if (total > this.frameMax) {
      throw new ProtocolError(`a frame of ${total} bytes is larger than frame_max ${this.frameMax}`, REPLY.frameError)
    }
    return total
  }

  #hand(buffer: Buffer, offset: number, total: number): void {
    const end = offset + total - 1
    if (buffer[end] !== FRAME_END) {
      throw new ProtocolError(`a frame ends with octet ${buffer[end]} instead of ${FRAME_END}`, REPLY.frameError)
    }
    const channel = ((buffer[offset + 1] ?? 0) << 8) | (buffer[offset + 2] ?? 0)
    this.#onFrame(buffer[offset] ?? 0, channel, buffer, offset + FRAME_HEADER_BYTES, end)
  }
}

/** A peer that cannot speak our version answers with its own protocol header, which begins with "AMQP" (§4.2.2). */
function unknownType(buffer: Buffer, offset: number): string {
  const start = buffer.toString('latin1', offset, offset + FRAME_HEADER_BYTES)
  if (start.startsWith('AMQP')) return 'the peer speaks another version of AMQP'
  return `unknown frame type ${buffer[offset]}: the peer does not speak AMQP 0-9-1, or the stream is damaged`
}
