import { ProtocolError } from '../core/errors.ts'
import { REPLY } from './reply-codes.ts'
import type { StringCache } from './string-cache.ts'

const TWO_32 = 0x1_0000_0000

/** Reads big-endian values from a stretch of a buffer, in place. Reading past its end throws `ProtocolError` 502. */
export class ByteReader {
  buffer: Buffer
  offset: number
  end: number

  constructor(buffer: Buffer, start: number = 0, end: number = buffer.length) {
    this.buffer = buffer
    this.offset = start
    this.end = end
  }

  get remaining(): number {
    return this.end - this.offset
  }

  /** Moves over `bytes` and returns where they began. */
  skip(bytes: number): number {
    const at = this.offset
    if (bytes > this.end - at) {
      throw new ProtocolError(`needed ${bytes} more bytes, but only ${this.end - at} are there`, REPLY.syntaxError)
    }
    this.offset = at + bytes
    return at
  }

  u8(): number {
    return this.#at(this.skip(1))
  }

  u16(): number {
    const at = this.skip(2)
    return (this.#at(at) << 8) | this.#at(at + 1)
  }

  u32(): number {
    const at = this.skip(4)
    return ((this.#at(at) << 24) | (this.#at(at + 1) << 16) | (this.#at(at + 2) << 8) | this.#at(at + 3)) >>> 0
  }

  /** Exact up to 2^53. */
  u64(): number {
    const high = this.u32()
    return high * TWO_32 + this.u32()
  }

  i8(): number {
    return (this.u8() << 24) >> 24
  }

  i16(): number {
    return (this.u16() << 16) >> 16
  }

  i32(): number {
    return this.u32() | 0
  }

  i64(): bigint {
    return this.buffer.readBigInt64BE(this.skip(8))
  }

  f32(): number {
    return this.buffer.readFloatBE(this.skip(4))
  }

  f64(): number {
    return this.buffer.readDoubleBE(this.skip(8))
  }

  shortString(cache?: StringCache): string {
    const length = this.u8()
    const at = this.skip(length)
    if (length === 0) return ''
    return cache ? cache.read(this.buffer, at, length) : this.buffer.toString('utf8', at, at + length)
  }

  /** The bytes behind a 32-bit length, as a view. */
  longBytes(): Buffer {
    const length = this.u32()
    const at = this.skip(length)
    return this.buffer.subarray(at, at + length)
  }

  #at(index: number): number {
    return this.buffer[index] ?? 0
  }
}
