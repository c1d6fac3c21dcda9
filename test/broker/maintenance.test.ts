/** What the store does with its file beside storing: room, logs, and the deletion of much. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { openStore, type SqliteStore } from '../../src/broker/store/sqlite-store.ts'
import { tempDir } from '../support/run-folder.ts'
import { harness, type Harness } from './engine-harness.ts'
import { bodyInMemory } from '../../src/broker/engine/index.ts'

const place = (): string => join(tempDir('tended'), 'broker.db')
const sizes = (path: string): { db: number; wal: number } => ({
  db: statSync(path).size,
  wal: existsSync(`${path}-wal`) ? statSync(`${path}-wal`).size : 0,
})

function fill(h: Harness, queue: string, count: number): void {
  const p = h.peer()
  for (let n = 0; n < count; n++) {
    p.publish('', queue, `${n} ${'x'.repeat(500)}`)
    if (n % 500 === 0) h.turn()
  }
  h.turn()
}

function tendUntilSettled(store: SqliteStore): void {
  // The first quiet look may still find what came since the last.
  for (let looks = 0, calm = 0; calm < 2; looks++) {
    if (looks > 10_000) throw new Error('the store never comes to rest')
    calm = store.tend() ? 0 : calm + 1
  }
}

const rows = (path: string): number => {
  const db = new DatabaseSync(path)
  try {
    return Number(db.prepare('SELECT count(*) AS n FROM message').get()?.['n'])
  } finally {
    db.close()
  }
}

describe('the file of the store', () => {
  test('gives the room of consumed messages back in quiet times, and keeps its log short', () => {
    const path = place()
    const store = openStore(path)
    const h = harness(store)
    h.queue('q')
    fill(h, 'q', 20_000)
    tendUntilSettled(store)
    const full = sizes(path)
    expect(full.db).toBeGreaterThan(10_000_000)
    expect(full.wal).toBe(0)
    const c = h.peer()
    c.channel.consume({ queue: 'q', tag: '', noAck: true, exclusive: false, arguments: {} })
    let got = 0
    for (h.turn(); got < 20_000; h.turn()) got += c.take().length
    expect(sizes(path).wal).toBeLessThan(64 * 1024 * 1024)
    tendUntilSettled(store)
    expect(sizes(path).db).toBeLessThan(full.db / 5)
    expect(sizes(path).wal).toBe(0)
    h.engine.close()
    store.close(true)
  })

  test('takes settled messages together, soon, and with what somebody waits for', () => {
    const path = place()
    const store = openStore(path)
    const h = harness(store)
    h.queue('q')
    fill(h, 'q', 1200)
    const c = h.peer()
    c.channel.consume({ queue: 'q', tag: '', noAck: false, exclusive: false, arguments: {}, prefetch: 100 })
    h.turn()
    // It gets more at once, though nothing is deleted yet.
    c.channel.ack(100, true)
    h.turn()
    expect(c.take()).toHaveLength(200)
    expect(rows(path)).toBe(1200)
    h.clock.pass(10)
    expect(rows(path)).toBe(1100)
    c.channel.ack(200, true)
    h.turn()
    c.publish('', 'q', 'last')
    h.turn()
    expect(rows(path)).toBe(1001)
    store.close(false)
  })

  test('is left alone while there is nothing to do', () => {
    const path = place()
    const store = openStore(path)
    harness(store).queue('q')
    tendUntilSettled(store)
    const { mtimeMs } = statSync(path)
    for (let n = 0; n < 20; n++) expect(store.tend()).toBe(false)
    expect(statSync(path).mtimeMs).toBe(mtimeMs)
    store.close(true)
  })
})

describe('much that is dropped', () => {
  test('a deleted queue is gone at once, its messages little by little, also over a restart', () => {
    const path = place()
    const first = openStore(path)
    const h = harness(first)
    h.queue('gone')
    h.queue('stays')
    fill(h, 'gone', 5000)
    fill(h, 'stays', 10)
    expect(h.engine.deleteQueue('gone', {}, { ifUnused: false, ifEmpty: false })).toBe(5000)
    h.queue('gone')
    expect(h.depth('gone')).toBe(0)
    fill(h, 'gone', 3)
    expect(h.depth('gone')).toBe(3)
    expect(first.tend()).toBe(true)
    h.engine.close()
    first.close(true)
    expect(rows(path)).toBeGreaterThan(1000)

    const second = openStore(path)
    const again = harness(second)
    expect([again.depth('gone'), again.depth('stays')]).toEqual([3, 10])
    const next = again.queue('new')
    expect(again.depth(next)).toBe(0)
    tendUntilSettled(second)
    expect([again.depth('gone'), again.depth('stays')]).toEqual([3, 10])
    second.close(true)
    expect(rows(path)).toBe(13)
  })

  test.each([true, false])('a purged queue (durable: %s) is empty at once, and takes what comes after', (durable) => {
    const path = place()
    const store = openStore(path)
    const h = harness(store, undefined, 100)
    h.queue('q', {}, { durable })
    fill(h, 'q', 5000)
    // One stays with a consumer, and comes back behind the purge.
    const holder = h.peer()
    const held = holder.channel.get('q', false)
    expect(h.engine.purge('q', {})).toBe(4999)
    expect(h.depth('q')).toBe(0)
    fill(h, 'q', 300)
    holder.channel.giveBack(held?.tag ?? 0, false, 'untouched')
    h.turn()
    const c = h.peer()
    const take = (): string[] => {
      c.channel.consume({ queue: 'q', tag: '', noAck: true, exclusive: false, arguments: {} })
      const got: string[] = []
      for (let turn = 0; turn < 20; turn++) {
        h.turn()
        got.push(...c.take().map(({ body }) => body.split(' ')[0] ?? ''))
      }
      return got
    }
    expect(take()).toEqual(['0', ...Array.from({ length: 300 }, (_, n) => `${n}`)])
    h.engine.flush()
    tendUntilSettled(store)
    expect(h.depth('q')).toBe(0)
    store.close(true)
    expect(rows(path)).toBe(0)
  })

  test('what a purge left alone is there after a restart, and nothing else', () => {
    const path = place()
    const first = openStore(path)
    const h = harness(first, undefined, 100)
    h.queue('q')
    fill(h, 'q', 5000)
    const holder = h.peer()
    for (let n = 0; n < 5; n++) holder.channel.get('q', false)
    h.engine.purge('q', {})
    fill(h, 'q', 7)
    // As after a kill: what the holder had was never settled.
    first.close(false)
    const second = openStore(path)
    const again = harness(second)
    expect(again.depth('q')).toBe(12)
    const p = again.peer()
    const bodies = Array.from({ length: 13 }, () => {
      const got = p.channel.get('q', true)
      return got && Buffer.from(bodyInMemory(got.message)).toString().split(' ')[0]
    })
    expect(bodies).toEqual(['0', '1', '2', '3', '4', '0', '1', '2', '3', '4', '5', '6', undefined])
    second.close(true)
  })
})
