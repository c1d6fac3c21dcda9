/**
 * Tells the master the last of what this process writes to stdout and stderr, for `omnibus logs`. The streams themselves go
 * where they always went: passing all of it through the master halved the requests/s of an app that logs each one.
 */
import type { Channel } from './channel.ts'

/** Of what is told at once; older lines are only counted. Characters. */
const MOST = 65_536
/** Of what is held until then: what is too old is let go in bulk, since an app may write a line for each request. */
const MOST_HELD = 4 * MOST
const EVERY_MS = 100

type Write = NodeJS.WriteStream['write']

/** Call once per process. What native code and other programs write is not seen; what threads write is. */
export function tellOutput(channel: Pick<Channel, 'send'>): void {
  let held: string[] = []
  let length = 0
  let missed = 0
  let timer: NodeJS.Timeout | undefined

  /** All but the last that are told; the very last whatever its length. */
  const letGo = (): void => {
    let gone = 0
    for (const lines of held.slice(0, -1)) {
      if (length <= MOST) break
      length -= lines.length
      missed += countLines(lines)
      gone++
    }
    held.splice(0, gone)
  }
  const tell = (): void => {
    clearTimeout(timer)
    timer = undefined
    if (held.length === 0) return
    letGo()
    const lines = held.join('')
    void channel.send({ type: 'output', lines: lines.slice(0, -1).split('\n'), missed })
    held = []
    length = 0
    missed = 0
  }
  const add = (lines: string): void => {
    held.push(lines)
    length += lines.length
    if (length > MOST_HELD) letGo()
    timer ??= setTimeout(tell, EVERY_MS).unref()
  }

  const endings = [process.stdout, process.stderr].map((stream) => {
    const write = stream.write.bind(stream) as (...args: unknown[]) => boolean
    let begun = ''
    stream.write = ((...args: unknown[]) => {
      const [chunk] = args
      const text = begun + (typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array).toString())
      const end = text.lastIndexOf('\n') + 1
      begun = text.slice(end).slice(-MOST)
      if (end > 0) add(text.slice(0, end))
      return write(...args)
    }) as Write
    return () => begun !== '' && add(`${begun}\n`)
  })
  // The last words of one that crashes are those that are looked for.
  process.on('exit', () => {
    for (const end of endings) end()
    tell()
  })
}

function countLines(text: string): number {
  let count = 0
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++
  return count
}
