/** Reads what a command writes, no faster than it is passed on: a command that nobody reads waits, as it would on a full pipe. */
import { write, writeSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { sleep } from '../../core/clock.ts'

/** Longest line in characters; what is longer is cut in pieces, so that one without an end fills no memory. */
const MAX_LINE = 16 * 1024
/** A pipe that is full and does not block. */
const AGAIN_MS = 20

/** Resolves at the end of the stream; never rejects. */
export async function readLines(stream: Readable, onLine: (line: string) => void | Promise<void>): Promise<void> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  try {
    for await (const chunk of stream) {
      rest += decoder.write(chunk as Buffer)
      const lines = rest.split(/\r?\n/)
      rest = lines.pop() ?? ''
      for (; rest.length > MAX_LINE; rest = rest.slice(MAX_LINE)) lines.push(rest.slice(0, MAX_LINE))
      for (const line of lines) await onLine(line)
    }
  } catch {
    // Destroyed under our hands: the process is gone.
  }
  if (rest !== '') await onLine(rest)
}

/**
 * Writes texts to a descriptor one after the other, off the main thread: stdout is a pipe that blocks, and somebody who
 * does not read it must not stall the master for what a command has to say. Resolves when the text was taken, or nobody is left to.
 */
export function asyncWriter(fd: number): (text: string) => Promise<void> {
  let last = Promise.resolve()
  return (text) => (last = last.then(() => writeAll(fd, Buffer.from(text))))
}

async function writeAll(fd: number, bytes: Buffer): Promise<void> {
  for (let rest = bytes; rest.length > 0;) {
    const { error, written } = await writeOnce(fd, rest)
    if (error === null) rest = rest.subarray(written)
    else if (error.code === 'EAGAIN') await sleep(AGAIN_MS)
    else return
  }
}

const never = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))

/** Returns when it was taken, so that last words are out before the process ends, or nobody is left to take it. */
export function writeNow(fd: number, text: string): void {
  for (let rest = Buffer.from(text); rest.length > 0;) {
    try {
      rest = rest.subarray(writeSync(fd, rest))
    } catch (error) {
      if (Reflect.get(Object(error), 'code') !== 'EAGAIN') return
      Atomics.wait(never, 0, 0, AGAIN_MS)
    }
  }
}

function writeOnce(fd: number, bytes: Buffer): Promise<{ error: NodeJS.ErrnoException | null; written: number }> {
  return new Promise((resolve) => write(fd, bytes, (error, written) => resolve({ error, written })))
}
