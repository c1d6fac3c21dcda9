import { copyFileSync, existsSync, readFileSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { prepareFolder } from '../../src/broker/store/folder.ts'
import { StoreFailedError } from '../../src/broker/engine/store.ts'
import { StoreRefusedError } from '../../src/broker/store/refused.ts'
import { openStore } from '../../src/broker/store/sqlite-store.ts'
import { tempDir } from '../support/run-folder.ts'
import { harness } from './engine-harness.ts'
import { spawnBroker } from './processes.ts'
import { bodyInMemory } from '../../src/broker/engine/index.ts'
import type { Entry } from '../../src/broker/engine/message.ts'

/** A closed store with some messages in it. */
function filled(): { data: string; path: string } {
  const data = tempDir('store')
  const path = join(data, 'broker.db')
  const store = openStore(path)
  const h = harness(store)
  h.queue('q')
  const p = h.peer()
  for (let n = 0; n < 500; n++) p.publish('', 'q', `${n} ${'x'.repeat(200)}`)
  h.turn()
  store.close(true)
  return { data, path }
}

const damage: Record<string, { make: (path: string) => void; says: RegExp }> = {
  'an empty file': { make: (path) => truncateSync(path, 0), says: /is not a store of this broker/ },
  'a truncated file': { make: (path) => truncateSync(path, 8192 + 100), says: /is damaged|cannot be read/ },
  'a file with another header': {
    make(path) {
      const bytes = readFileSync(path)
      bytes.write('Not a database at all', 0)
      writeFileSync(path, bytes)
    },
    says: /cannot be read: file is not a database/,
  },
  'a damaged page': {
    make(path) {
      const bytes = readFileSync(path)
      const pages = bytes.length / 4096
      for (let page = 3; page < pages; page++) bytes.fill(0xff, page * 4096, page * 4096 + 64)
      writeFileSync(path, bytes)
    },
    says: /is damaged|cannot be read/,
  },
  'a database of somebody else': {
    make(path) {
      unlinkSync(path)
      const db = new DatabaseSync(path)
      db.exec('CREATE TABLE theirs (x)')
      db.close()
    },
    says: /is not a store of this broker/,
  },
  'a file of a newer version': {
    make(path) {
      const db = new DatabaseSync(path)
      db.exec('PRAGMA user_version = 99')
      db.close()
    },
    says: /was written by a newer version \(store version 99/,
  },
  'a log whose main file is missing': {
    make(path) {
      copyFileSync(path, `${path}-wal`)
      unlinkSync(path)
    },
    says: /is missing, though its write-ahead log/,
  },
}

describe('the store file', () => {
  test.each(Object.entries(damage))('%s is refused with its path, and left as it is', (_, { make, says }) => {
    const { path } = filled()
    make(path)
    const before = existsSync(path) ? readFileSync(path) : undefined
    const error = (() => {
      try {
        openStore(path).close(true)
        return undefined
      } catch (thrown) {
        return thrown
      }
    })()
    expect(error).toBeInstanceOf(StoreRefusedError)
    expect(String(error)).toMatch(says)
    expect(String(error)).toContain(path)
    expect(existsSync(path) ? readFileSync(path) : undefined).toEqual(before)
  })

  test('the process ends with 78', async () => {
    const { data, path } = filled()
    truncateSync(path, 0)
    const broker = spawnBroker({ data })
    await using _ = broker
    expect((await broker.exit()).code).toBe(78)
    expect(broker.lines.join('\n')).toContain(path)
  })

  test('a first start that was interrupted does not stand in the way of the next', () => {
    const path = join(tempDir('store'), 'broker.db')
    writeFileSync(`${path}.new`, 'half')
    openStore(path).close(true)
    expect(existsSync(`${path}.new`)).toBe(false)
  })

  test('network file systems are refused', () => {
    expect(() => prepareFolder(tempDir('nfs'), () => 0x6969)).toThrow(/network file system \(NFS\)/)
    // CIFS's number has its highest bit set.
    expect(() => prepareFolder(tempDir('cifs'), () => 0xff534d42 | 0)).toThrow(/CIFS/)
  })

  test('topology, counts and marks survive', () => {
    const path = join(tempDir('store'), 'broker.db')
    const first = openStore(path)
    const h = harness(first)
    h.engine.declareExchange({
      name: 'e',
      type: 'topic',
      durable: true,
      autoDelete: false,
      internal: false,
      arguments: { 'alternate-exchange': 'amq.fanout' },
    })
    h.engine.declareExchange({ name: 'gone', type: 'topic', durable: false, autoDelete: false, internal: false, arguments: {} })
    h.queue('kept', { 'x-message-ttl': 60_000, 'x-max-priority': 3 })
    h.queue('transient', {}, { durable: false })
    h.queue('mine', {}, { exclusive: true })
    for (const queue of ['kept', 'transient']) h.engine.bind(queue, 'e', 'a.*', { note: 'b' }, {})
    const p = h.peer()
    for (let n = 0; n < 3; n++) p.publish('e', 'a.b', `${n}`, { priority: n })
    h.turn()
    const got = p.channel.get('kept', false)
    p.channel.giveBack(got?.tag ?? 0, false, 'failed')
    h.turn()
    expect([h.depth('kept'), h.depth('transient')]).toEqual([3, 3])
    p.channel.close('untouched')
    h.engine.close()
    first.close(true)

    const second = openStore(path)
    const again = harness(second)
    expect(again.engine.stats().map(({ name, ready }) => [name, ready])).toEqual([['kept', 3]])
    expect(() => again.engine.checkExchange('gone')).toThrow('NOT_FOUND')
    expect(() => again.queue('kept')).toThrow("inequivalent arg 'x-message-ttl'")
    const q = again.peer()
    const back = q.channel.get('kept', false)
    expect([Buffer.from(bodyInMemory(back!.message)).toString(), back!.entry.redelivered, back!.entry.deliveries]).toEqual(['2', true, 1])
    expect(q.channel.get('kept', false)?.entry.redelivered).toBe(false)
    q.publish('e', 'a.c', 'new')
    again.turn()
    expect(again.depth('kept')).toBe(2)
    again.engine.unbind('kept', 'e', 'a.*', { note: 'b' }, {})
    again.engine.deleteExchange('e', true)
    again.engine.deleteQueue('kept', {}, { ifUnused: false, ifEmpty: false })
    again.engine.close()
    second.close(true)
    const db = new DatabaseSync(path)
    for (const table of ['exchange', 'queue', 'binding', 'message'])
      expect([table, db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n']]).toEqual([table, 0])
    db.close()
  })

  test('a failed delivery is counted when its turn is over, since the process may be killed after it', () => {
    const store = openStore(join(tempDir('store'), 'broker.db'))
    const counted: number[] = []
    const h = harness({
      ...store,
      commit(writes) {
        counted.push(...writes.returns.map(({ deliveries }) => deliveries))
        store.commit(writes)
      },
    })
    h.queue('q')
    const p = h.peer()
    p.publish('', 'q', 'x')
    h.turn()
    p.channel.giveBack(p.channel.get('q', false)?.tag ?? 0, false, 'failed')
    h.turn()
    expect(counted).toEqual([1])
    h.engine.close()
    store.close(true)
  })

  test('of a write that fails half way nothing is kept, and closing writes nothing after it', () => {
    const path = join(tempDir('store'), 'broker.db')
    const store = openStore(path)
    const inserted: Entry[] = []
    const h = harness({
      ...store,
      commit(writes) {
        inserted.push(...writes.inserts)
        store.commit(writes)
      },
    })
    h.queue('q')
    const p = h.peer()
    for (const body of ['a', 'b']) p.publish('', 'q', body)
    h.turn()
    const [good, other] = inserted.map((entry) => ({ ...entry, seq: entry.seq + 100 }))
    const bad = { ...other!, message: { ...other!.message!, properties: Symbol('no bytes') as never } }
    expect(() => store.commit({ inserts: [good!, bad], deletes: [], returns: [] })).toThrow(StoreFailedError)
    expect(store.load().counts.map(({ messages }) => messages)).toEqual([2])
    const files = (): Buffer[] => [path, `${path}-wal`].map((file) => readFileSync(file))
    const before = files()
    store.close(true)
    expect(files()).toEqual(before)
  })

  test('of large messages few are read at a time', () => {
    const path = join(tempDir('store'), 'broker.db')
    const text = 'x'.repeat(100_000)
    const first = openStore(path)
    const filling = harness(first)
    filling.queue('q')
    const p = filling.peer()
    for (let n = 0; n < 200; n++) p.publish('', 'q', text)
    filling.turn()
    first.close(true)

    const second = openStore(path)
    const h = harness(second)
    const c = h.peer()
    c.channel.consume({ queue: 'q', tag: '', noAck: false, exclusive: false, arguments: {}, prefetch: 1 })
    h.turn()
    expect(c.take()).toHaveLength(1)
    // Of 20 MB.
    expect(h.engine.budget.bytes).toBeLessThan(5_000_000)
    c.channel.close('untouched')
    h.engine.close()
    second.close(true)
  })

  test('a long queue does not live in memory, durable or not', () => {
    const store = openStore(join(tempDir('store'), 'broker.db'))
    const h = harness(store, undefined, 100)
    h.queue('durable')
    h.queue('transient', {}, { durable: false })
    const p = h.peer()
    for (let n = 0; n < 3000; n++) {
      for (const queue of ['durable', 'transient']) p.publish('', queue, `${n} ${'x'.repeat(1000)}`)
      if (n % 100 === 0) h.turn()
    }
    h.turn()
    // Of 6 MB, two windows and one turn of what need not be stored.
    expect(h.engine.budget.bytes).toBeLessThan(500_000)
    for (const queue of ['durable', 'transient']) {
      const seen: string[] = []
      const c = h.peer()
      c.channel.consume({ queue, tag: '', noAck: true, exclusive: false, arguments: {} })
      for (h.turn(); seen.length < 3000; h.turn()) {
        const got = c.take()
        if (got.length === 0) break
        seen.push(...got.map(({ body }) => body.split(' ')[0] ?? ''))
      }
      expect(seen).toEqual(Array.from({ length: 3000 }, (_, n) => `${n}`))
    }
    expect(h.engine.budget.bytes).toBe(0)
    h.engine.close()
    store.close(true)
  })
})
