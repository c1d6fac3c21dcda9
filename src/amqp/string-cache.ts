/** Two for each hash, so that two strings that are always met by turns do not drive each other out. */
const SLOTS = 512

interface Slot {
  readonly bytes: Buffer
  readonly text: string
}

/**
 * Remembers short strings by their bytes: exchange names, routing keys and content types repeat, and comparing bytes
 * is cheaper than decoding them again. Bounded, since a new string takes the place of an older one.
 */
export class StringCache {
  readonly #slots: (Slot | undefined)[] = Array.from({ length: SLOTS })

  read(buffer: Buffer, start: number, length: number): string {
    const last = buffer[start + length - 1] ?? 0
    const middle = buffer[start + (length >> 1)] ?? 0
    const index = ((length * 31 + last * 17 + middle) * 2) % SLOTS
    const slot = this.#slots[index]
    if (slot !== undefined && matches(slot.bytes, buffer, start, length)) return slot.text
    const older = this.#slots[index + 1]
    if (older !== undefined && matches(older.bytes, buffer, start, length)) return older.text
    const text = buffer.toString('utf8', start, start + length)
    // A copy, so that the cache does not keep whole read buffers alive.
    this.#slots[index + 1] = slot
    this.#slots[index] = { bytes: Buffer.from(buffer.subarray(start, start + length)), text }
    return text
  }
}

function matches(bytes: Buffer, buffer: Buffer, start: number, length: number): boolean {
  if (bytes.length !== length) return false
  for (let i = 0; i < length; i++) {
    if (bytes[i] !== buffer[start + i]) return false
  }
  return true
}
