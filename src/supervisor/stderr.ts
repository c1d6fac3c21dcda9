/**
 * What a child writes to stderr passes through the master, since Node and native code say there what nobody else can: that the heap
 * is full, and where the inspector is. Stdout does not: there apps write most, and at twice the cost if it came this way.
 */
import type { Readable } from 'node:stream'

/** What is longer without a line's end is passed on in pieces. Bytes. */
const MOST = 65_536
const NEWLINE = 10

/**
 * Passes whole lines on, no faster than they are taken: a child that nobody reads waits, as it would on a full pipe. Resolves at
 * the end of the stream; never rejects.
 */
export async function passLines(stream: Readable, pass: (lines: string) => void | Promise<void>): Promise<void> {
  let rest: Buffer<ArrayBufferLike> = Buffer.alloc(0)
  try {
    for await (const chunk of stream) {
      const bytes = Buffer.concat([rest, chunk as Buffer])
      const end = bytes.length > MOST ? bytes.length : bytes.lastIndexOf(NEWLINE) + 1
      rest = bytes.subarray(end)
      if (end > 0) await pass(bytes.toString('utf8', 0, end))
    }
  } catch {
    // Destroyed under our hands: the process is gone.
  }
  if (rest.length > 0) await pass(`${rest.toString()}\n`)
}
