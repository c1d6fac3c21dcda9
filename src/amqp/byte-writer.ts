import { CodecError } from '../core/errors.ts'

const CHUNK = 64 * 1024
const TWO_32 = 0x1_0000_0000

/**
 * Appends big-endian values to a buffer that grows. Bytes before `base` were taken away and are never touched again,
 * so they may still be on their way into a socket. Positions are counted from `base`, since growing moves the rest.
 */
export class ByteWriter {
  buffer: Buffer
  base = 0
  end = 0

  constructor(size: number = CHUNK) {
    this.buffer = Buffer.allocUnsafeSlow(size)
  }

  get position(): number {
    return this.end - this.base
  }

  /** Forgets everything after `position`. */
  truncate(position: number): void {
    this.end = this.base + position
  }

  /** A view of what was written since the last take; the writer goes on behind it. */
  take(): Buffer {
    const taken = this.buffer.subarray(this.base, this.end)
    this.base = this.end
    return taken
  }

  /** Starts the buffer over. Only when nobody holds a taken view any more. */
  rewind(): void {
    this.base = this.end = 0
  }

  reserve(bytes: number): void {
    if (this.end + bytes <= this.buffer.length) return
    const kept = this.end - this.base
    const grown = Buffer.allocUnsafeSlow(Math.max(CHUNK, (kept + bytes) * 2))
    this.buffer.copy(grown, 0, this.base, this.end)
    this.buffer = grown
    this.base = 0
    this.end = kept
  }

  u8(value: number): void {
    this.reserve(1)
    this.buffer[this.end++] = value
  }

  u16(value: number): void {
    this.reserve(2)
    this.#put16(value)
  }

  u32(value: number): void {
    this.reserve(4)
    this.#put32(value)
  }

  /** A whole number from 0 to 2^53 in 8 bytes. */
  u64(value: number): void {
    this.reserve(8)
    this.#put32(Math.floor(value / TWO_32))
    this.#put32(value % TWO_32)
  }

  i64(value: bigint): void {
    this.reserve(8)
    this.end = this.buffer.writeBigInt64BE(value, this.end)
  }

  f64(value: number): void {
    this.reserve(8)
    this.end = this.buffer.writeDoubleBE(value, this.end)
  }

  bytes(value: Uint8Array): void {
    this.reserve(value.length)
    this.buffer.set(value, this.end)
    this.end += value.length
  }

  /** At most 255 bytes of UTF-8. Throws `CodecError` naming `what` when it is longer. */
  shortString(value: string, what: string): void {
    const characters = value.length
    // A UTF-16 unit is never less than one byte, so this bounds the reservation too.
    if (characters > 255) throw new CodecError(`${what} may have at most 255 bytes, got ${Buffer.byteLength(value)}`)
    this.reserve(characters * 3 + 1)
    const at = this.end
    const length = this.#utf8(value, at + 1)
    if (length > 255) throw new CodecError(`${what} may have at most 255 bytes, got ${length}`)
    this.buffer[at] = length
    this.end = at + 1 + length
  }

  longString(value: string): void {
    this.reserve(value.length * 3 + 4)
    const length = this.#utf8(value, this.end + 4)
    this.#put32(length)
    this.end += length
  }

  longBytes(value: Uint8Array): void {
    this.u32(value.length)
    this.bytes(value)
  }

  /** Overwrites 4 bytes at a position, e.g. a length known only afterwards. */
  patch32(position: number, value: number): void {
    const end = this.end
    this.end = this.base + position
    this.#put32(value)
    this.end = end
  }

  /** Overwrites 2 bytes at a position. */
  patch16(position: number, value: number): void {
    const end = this.end
    this.end = this.base + position
    this.#put16(value)
    this.end = end
  }

  #utf8(value: string, at: number): number {
    const { buffer } = this
    const characters = value.length
    // Names are short and mostly ASCII, where this is cheaper than a call into native code.
    if (characters <= 48) {
      let i = 0
      for (; i < characters; i++) {
        const code = value.charCodeAt(i)
        if (code > 0x7f) break
        buffer[at + i] = code
      }
      if (i === characters) return characters
    }
    return buffer.write(value, at, 'utf8')
  }

  #put16(value: number): void {
    const { buffer, end } = this
    buffer[end] = value >>> 8
    buffer[end + 1] = value
    this.end = end + 2
  }

  #put32(value: number): void {
    const { buffer, end } = this
    buffer[end] = value >>> 24
    buffer[end + 1] = value >>> 16
    buffer[end + 2] = value >>> 8
    buffer[end + 3] = value
    this.end = end + 4
  }
}
