/**
 * The store's process killed at chosen system calls, and syncs that fail. `CRASH_POINTS=all` goes through all of the first 300
 * writes and every sync.
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { openStore } from '../../src/broker/store/sqlite-store.ts'
import { runToEnd } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'

const WRITER = join(import.meta.dirname, 'crash-writer.ts')

const canTrace = (() => {
  try {
    execFileSync('strace', ['-o', '/dev/null', 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()
if (!canTrace) process.stderr.write('NOT TESTED: crash points of the store, since strace is missing or may not trace\n')

const all = process.env['CRASH_POINTS'] === 'all'
const upTo = (last: number): number[] => Array.from({ length: last }, (_, n) => n + 1)
const points: [call: string, at: number][] = [
  ...(all ? upTo(300) : [3, 39, 150, 600]).map((at): [string, number] => ['pwrite64', at]),
  ...(all ? upTo(150) : [2, 19, 60]).map((at): [string, number] => ['fsync', at]),
  ...(all ? upTo(20) : [2]).map((at): [string, number] => ['ftruncate', at]),
]

/** Runs the writer; with `injected`, an action of strace at a system call. */
async function write(path: string, first: number, injected?: string) {
  const args = [WRITER, path, String(first)]
  const tracing = [
    '-f',
    '-qq',
    '-o',
    '/dev/null',
    '-e',
    `trace=${injected?.split(':')[0]}`,
    '-e',
    `inject=${injected ?? ''}`,
    process.execPath,
    ...args,
  ]
  const { signal, output } = injected === undefined ? await runToEnd(process.execPath, args) : await runToEnd('strace', tracing)
  const lines = output.split('\n')
  const numbers = (what: string): number[] => lines.flatMap((line) => (line.startsWith(what) ? [Number(line.slice(what.length))] : []))
  const settling = new Set(numbers('settling '))
  return { signal, output, lines, kept: numbers('confirmed ').filter((n) => !settling.has(n)) }
}

/** What the next owner finds. */
function contents(path: string): Set<number> {
  if (!existsSync(path)) return new Set()
  openStore(path).close(false)
  const db = new DatabaseSync(path)
  try {
    expect(Object.values(db.prepare('PRAGMA integrity_check').get() ?? {})).toEqual(['ok'])
    const rows = db.prepare('SELECT body FROM message').all()
    return new Set(rows.map((row) => Number.parseInt(Buffer.from(row['body'] as Uint8Array).toString(), 10)))
  } finally {
    db.close()
  }
}

describe.runIf(canTrace)('whatever was confirmed is there, and the file is sound, after', () => {
  test.concurrent.each(points)('a kill at %s number %i', { timeout: 120_000 }, async (call, at) => {
    const path = join(tempDir('crash-point'), 'broker.db')
    const { kept, lines, output, signal } = await write(path, 0, `${call}:signal=KILL:when=${at}`)
    // strace ends as what it traced did.
    expect(signal, output).toBe('SIGKILL')
    expect(lines).not.toContain('done')
    const found = contents(path)
    expect(kept.filter((n) => !found.has(n))).toEqual([])
  })

  test('a kill late, and one again in the recovery from it', { timeout: 120_000 }, async () => {
    const path = join(tempDir('crash-point'), 'broker.db')
    const first = await write(path, 0, 'pwrite64:signal=KILL:when=700')
    const second = await write(path, 1000, 'fsync:signal=KILL:when=12')
    expect(first.kept.length).toBeGreaterThan(20)
    expect(second.kept.length).toBeGreaterThan(0)
    const { kept, lines } = await write(path, 2000)
    expect(lines).toContain('done')
    const found = contents(path)
    // The later lives may have settled what the earlier ones left: the queue is one.
    const settled = new Set([...second.lines, ...lines].flatMap((line) => (line.startsWith('settling ') ? [Number(line.slice(9))] : [])))
    expect([...first.kept, ...second.kept, ...kept].filter((n) => !found.has(n) && !settled.has(n))).toEqual([])
  })

  test.concurrent.each(all ? upTo(70).slice(30) : [31, 45])(
    'sync number %i that fails: nothing more is promised, and the next start goes on',
    { timeout: 120_000 },
    async (at) => {
      const path = join(tempDir('crash-point'), 'broker.db')
      const { kept, lines, output } = await write(path, 0, `fsync:error=EIO:when=${at}`)
      // SQLite keeps a failed sync of the main file to itself: the log, which was synced, still has it all, and is written again.
      const failures = lines.filter((line) => line === 'store-failed').length
      expect(failures, output).toBeLessThanOrEqual(1)
      if (!all) expect(failures).toBe(1)
      expect((failures === 0 ? [] : lines.slice(lines.indexOf('store-failed'))).filter((line) => line.startsWith('confirmed'))).toEqual([])
      expect(lines).toContain('done')
      const found = contents(path)
      expect(kept.length).toBeGreaterThan(0)
      expect(kept.filter((n) => !found.has(n))).toEqual([])
      expect((await write(path, 1000)).lines).toContain('done')
    },
  )
})
