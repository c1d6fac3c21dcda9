/** What happens when a commit fails: nothing is confirmed, nothing is lost, and a full disk heals. */
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Store, StoreFailedError, StoreFullError, type Writes } from '../../src/broker/engine/store.ts'
import { openStore, type SqliteStore } from '../../src/broker/store/sqlite-store.ts'
import { tempDir } from '../support/run-folder.ts'
import { harness, type Harness, type Peer } from './engine-harness.ts'

let real: SqliteStore
let h: Harness
let p: Peer
/** What a commit throws, if anything. */
let trouble: (writes: Writes) => Error | undefined

beforeEach(() => {
  trouble = () => undefined
  real = openStore(join(tempDir('failing'), 'broker.db'))
  const store: Store = {
    ...real,
    commit(writes) {
      const error = trouble(writes)
      if (error) throw error
      real.commit(writes)
    },
  }
  h = harness(store)
  p = h.peer()
  h.queue('dead')
  h.queue('q', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' })
})
afterEach(() => real.close(false))

const full = (): Error => new StoreFullError('the disk is full')
/** What a restart would find. */
const stored = (queue: string): number => {
  const { queues, counts } = real.load()
  const id = queues.find(({ name }) => name === queue)?.id
  return counts.filter((count) => count.queue === id).reduce((sum, { messages }) => sum + messages, 0)
}

describe('a full disk', () => {
  test('refuses the publishes of the turn, and takes the next', () => {
    trouble = full
    p.publish('', 'q', 'lost')
    p.publish('', 'nobody', 'unrouted')
    h.turn()
    expect(p.settled).toEqual(['1 failed', '2 unrouted'])
    expect(h.events).toMatchObject([{ type: 'store-full', refused: 2 }])
    expect([h.depth('q'), stored('q')]).toEqual([0, 0])
    trouble = () => undefined
    p.publish('', 'q', 'kept')
    h.turn()
    expect(p.settled.at(-1)).toBe('3 routed')
    expect([h.depth('q'), stored('q')]).toEqual([1, 1])
  })

  test('acks need no room of their own, and those that do are tried again', () => {
    for (let n = 0; n < 3; n++) p.publish('', 'q', `${n}`)
    h.turn()
    const tags = [0, 1, 2].map(() => p.channel.get('q', false)?.tag ?? 0)
    trouble = (writes) => (writes.inserts.length > 0 ? full() : undefined)
    p.channel.ack(tags[0] ?? 0, false)
    p.publish('', 'q', 'lost')
    h.turn()
    expect([p.settled.at(-1), stored('q')]).toEqual(['4 failed', 2])

    trouble = full
    p.channel.ack(tags[1] ?? 0, false)
    h.turn()
    expect(stored('q')).toBe(2)
    trouble = () => undefined
    h.clock.pass(250)
    h.turn()
    expect(stored('q')).toBe(1)
  })

  test('a dead letter that cannot be written stays where it was', () => {
    p.publish('', 'q', 'x', { expirationMs: 10 })
    p.publish('', 'q', 'y')
    h.turn()
    trouble = full
    h.clock.pass(10)
    h.turn()
    expect([h.depth('q'), h.depth('dead'), stored('q'), stored('dead')]).toEqual([2, 0, 2, 0])
    trouble = () => undefined
    h.clock.pass(250)
    h.turn()
    expect([h.depth('q'), h.depth('dead'), stored('q'), stored('dead')]).toEqual([1, 1, 1, 1])
  })

  test('a rejected message that cannot move is not lost either', () => {
    p.publish('', 'q', 'x')
    h.turn()
    const tag = p.channel.get('q', false)?.tag ?? 0
    trouble = full
    p.channel.reject(tag, false)
    h.turn()
    expect([h.depth('q'), stored('q'), stored('dead')]).toEqual([1, 1, 0])
  })

  test('a declaration is refused with 506', () => {
    const store: Store = {
      ...real,
      saveQueue() {
        throw full()
      },
    }
    const other = harness(store)
    expect(() => other.queue('new')).toThrow('RESOURCE_ERROR - the disk is full')
    expect(other.depth('new')).toBe(-1)
  })
})

describe('a store that failed', () => {
  test('confirms nothing, delivers nothing, and says so once', () => {
    p.channel.consume({ queue: 'q', tag: '', noAck: false, exclusive: false, arguments: {} })
    trouble = () => new StoreFailedError('fsync: input/output error')
    p.publish('', 'q', 'x')
    h.turn()
    trouble = () => undefined
    p.publish('', 'q', 'y')
    h.turn()
    expect(p.settled).toEqual(['1 failed', '2 failed'])
    expect(p.take()).toEqual([])
    expect(h.events.map(({ type }) => type)).toEqual(['store-failed'])
    expect(() => h.queue('new')).toThrow('INTERNAL_ERROR - the store of the broker failed')
    expect(stored('q')).toBe(0)
  })
})
