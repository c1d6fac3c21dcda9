/** Bytes of a store changed on disk: nothing is lost in silence, and everything intact comes back. */
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { isSafe } from '../../src/broker/store/database.ts'
import { salvageStore } from '../../src/broker/store/salvage.ts'
import { openStore } from '../../src/broker/store/sqlite-store.ts'
import { tempDir } from '../support/run-folder.ts'
import { harness } from './engine-harness.ts'

const PAGE = 4096
const COUNT = 600
const body = (n: number): string => `${n} ${'x'.repeat(n % 50 === 0 ? 10_000 : 300)}`

/** A store whose owner was killed: the first half of its messages is in the main file, the rest in the log. */
const killed = (): { path: string; wal: string } => stored(false)

function stored(closed: boolean): { path: string; wal: string } {
  const data = tempDir('salvage')
  const path = join(data, 'source.db')
  const store = openStore(path)
  const h = harness(store)
  h.engine.declareExchange({ name: 'e', type: 'topic', durable: true, autoDelete: false, internal: false, arguments: { a: 1 } })
  h.queue('q', { 'x-max-priority': 3 })
  h.engine.bind('q', 'e', 'a.*', { note: 'b' }, {})
  const p = h.peer()
  for (let n = 0; n < COUNT; n++) {
    p.publish('', 'q', body(n), { priority: n % 4 })
    if (n % 20 === 19) h.turn()
    // Some are settled again, so that there are free pages with what was in them.
    if (n === COUNT / 2) {
      const gone = h.peer()
      h.queue('settled')
      for (let m = 0; m < 200; m++) p.publish('', 'settled', body(m + 1))
      h.turn()
      while (gone.channel.get('settled', true));
      h.turn()
      store.tend()
    }
  }
  h.turn()
  // As it is on disk now, which is all that a kill leaves.
  const copy = join(data, 'broker.db')
  copyFileSync(path, copy)
  copyFileSync(`${path}-wal`, `${copy}-wal`)
  store.close(true)
  if (closed) return { path, wal: `${path}-wal` }
  return { path: copy, wal: `${copy}-wal` }
}

const change = (path: string, edit: (bytes: Buffer) => void): void => {
  const bytes = readFileSync(path)
  edit(bytes)
  writeFileSync(path, bytes)
}

/** The messages of a store by number. */
function contents(path: string): Set<number> {
  const db = new DatabaseSync(path)
  try {
    expect(Object.values(db.prepare('PRAGMA integrity_check').get() ?? {})).toEqual(['ok'])
    const rows = db.prepare('SELECT body FROM message').all()
    const bodies = rows.map((row) => Buffer.from(row['body'] as Uint8Array).toString())
    return new Set(bodies.map(Number.parseFloat).filter((n, i) => bodies[i] === body(n)))
  } finally {
    db.close()
  }
}

const salvaged = (path: string) => salvageStore(path, new Date('2026-01-02T03:04:05Z'))
const refused = (path: string): string => {
  try {
    openStore(path).close(true)
  } catch (error) {
    return String(error)
  }
  return 'not refused'
}
/** Of the main file: pages, which hold the leaf rows of the message table. */
const leaves = (bytes: Buffer): number[] =>
  Array.from({ length: bytes.length / PAGE }, (_, page) => page).filter((page) => page > 1 && bytes[page * PAGE] === 0x0d)

test('a store that was merely killed is sound: it opens with all it promised, and salvage leaves it alone', () => {
  const { path } = killed()
  const before = readFileSync(path)
  expect(salvaged(path).aside).toBeUndefined()
  expect(readFileSync(path)).toEqual(before)
  openStore(path).close(false)
  expect(contents(path).size).toBe(COUNT)
})

describe('every intact row comes back, and the damaged file is kept, from', () => {
  const whole: Record<string, [closed: boolean, damage: (at: { path: string; wal: string }) => void]> = {
    'an overwritten header': [true, ({ path }) => change(path, (bytes) => bytes.fill(0xff, 0, 100))],
    'an overwritten first page': [true, ({ path }) => change(path, (bytes) => bytes.fill(0, 0, PAGE))],
    'another application id': [true, ({ path }) => change(path, (bytes) => bytes.writeUInt32BE(1, 68))],
    'another version': [true, ({ path }) => change(path, (bytes) => bytes.writeUInt32BE(77, 60))],
    'overwritten pointer maps': [true, ({ path }) => change(path, (bytes) => bytes.fill(0xff, PAGE, 2 * PAGE))],
    'an overwritten header of the log': [false, ({ wal }) => change(wal, (bytes) => bytes.fill(0xff, 0, 24))],
    'other salts in the header of the log': [false, ({ wal }) => change(wal, (bytes) => bytes.fill(0xff, 16, 24))],
  }
  test.each(Object.entries(whole))('%s', (_, [closed, damage]) => {
    const at = stored(closed)
    damage(at)
    expect(refused(at.path)).toContain(at.path)
    const kept = (path: string): (Buffer | undefined)[] =>
      [path, `${path}-wal`].map((file) => (existsSync(file) ? readFileSync(file) : undefined))
    const files = kept(at.path)
    const { aside, ...counts } = salvaged(at.path)
    expect(aside).toBe(`${at.path}.damaged-20260102T030405Z`)
    expect(kept(aside!)).toEqual(files)
    const found = contents(at.path)
    expect(Array.from({ length: COUNT }, (__, n) => n).filter((n) => !found.has(n))).toEqual([])
    expect(counts).toMatchObject({ exchanges: 1, bindings: 1 })
    const store = openStore(at.path)
    const h = harness(store)
    expect(h.depth('q')).toBe(COUNT)
    h.peer().publish('e', 'a.b', 'routed')
    h.turn()
    expect(h.depth('q')).toBe(COUNT + 1)
    store.close(true)
  })

  test('a leaf of the table: only its own rows are lost', () => {
    const { path } = stored(true)
    let lost = 0
    change(path, (bytes) => {
      const page = leaves(bytes)[3]!
      lost = bytes.readUInt16BE(page * PAGE + 3)
      bytes.fill(0xff, page * PAGE, page * PAGE + 200)
    })
    expect(refused(path)).toContain(path)
    const { messages } = salvaged(path)
    expect(lost).toBeGreaterThan(0)
    expect(messages).toBeGreaterThanOrEqual(COUNT - lost)
    expect(contents(path).size).toBe(messages)
  })

  test('a frame in the middle of the log: the transactions behind it are not given up', () => {
    const { path, wal } = killed()
    change(wal, (bytes) => bytes.fill(0x55, 32 + 10 * (PAGE + 24) + 24 + 1000, 32 + 10 * (PAGE + 24) + 24 + 1100))
    expect(refused(path)).toMatch(/is damaged: its write-ahead log .*omnibus broker --salvage/)
    const { damaged, messages } = salvaged(path)
    expect(damaged).toBeGreaterThan(0)
    // A page has room for a dozen of them.
    expect(messages).toBeGreaterThan(COUNT - 30)
    expect(contents(path).has(COUNT - 1)).toBe(true)
  })

  test('a truncated file: what is left of it', () => {
    const { path } = stored(true)
    const before = readFileSync(path)
    const pages = leaves(before)
    const cut = pages[Math.floor(pages.length / 2)]!
    const lost = pages.filter((page) => page >= cut).reduce((sum, page) => sum + before.readUInt16BE(page * PAGE + 3), 0)
    truncateSync(path, cut * PAGE + 100)
    expect(refused(path)).toContain(path)
    const { messages } = salvaged(path)
    // A long body may begin before the cut and end behind it.
    expect(messages).toBeGreaterThanOrEqual(COUNT - lost - COUNT / 50)
    expect(contents(path).size).toBe(messages)
  })

  test('a log alone, and an empty file with one', () => {
    for (const empty of [true, false]) {
      const { path } = killed()
      if (empty) truncateSync(path, 0)
      else unlinkSync(path)
      expect(refused(path)).toContain(path)
      salvaged(path)
      expect(contents(path).has(COUNT - 1)).toBe(true)
    }
  })
})

describe('a salvage', () => {
  test('that was interrupted at any step is refused to be opened, and comes to the same when it is repeated', () => {
    for (const step of ['before the move', 'main moved', 'both moved', 'fresh in place'] as const) {
      const { path, wal } = killed()
      const aside = `${path}.damaged-then`
      writeFileSync(`${path}.salvage`, aside)
      if (step !== 'before the move') copyFileSync(path, aside)
      if (step === 'main moved' || step === 'both moved') rmSync(path)
      if (step === 'both moved' || step === 'fresh in place') {
        copyFileSync(wal, `${aside}-wal`)
        rmSync(wal)
      }
      expect([step, refused(path)]).toEqual([step, expect.stringContaining('is being salvaged, which was interrupted')])
      expect(salvaged(path).aside).toBe(aside)
      expect([step, contents(path).size]).toEqual([step, COUNT])
      expect(readdirSync(join(path, '..')).filter((name) => /salvage|new/.test(name))).toEqual([])
    }
  })

  test('refuses what is not ours, newer, or not there, and leaves it as it is', () => {
    const folder = tempDir('foreign')
    const foreign = join(folder, 'broker.db')
    expect(() => salvaged(foreign)).toThrow('is not there')
    const db = new DatabaseSync(foreign)
    db.exec('CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)')
    db.close()
    expect(() => salvaged(foreign)).toThrow('is not a store of this broker')
    writeFileSync(foreign, Buffer.alloc(40_000, 'no database at all'))
    expect(() => salvaged(foreign)).toThrow('holds nothing that this broker could have written')
    expect(readdirSync(folder)).toEqual(['broker.db'])

    const { path } = killed()
    const newer = new DatabaseSync(path)
    newer.exec('PRAGMA user_version = 99; CREATE TABLE future (x)')
    newer.close()
    expect(() => salvaged(path)).toThrow('newer version (store version 99')
  })
})

test('an SQLite that damages its log is not used', () => {
  expect(['3.53.4', '3.51.3', '3.50.7', '3.44.6', '4.0.0'].filter((version) => !isSafe(version))).toEqual([])
  expect(['3.51.2', '3.50.6', '3.46.1', '3.44.5', '3.40.1', 'unknown'].filter(isSafe)).toEqual([])
})
