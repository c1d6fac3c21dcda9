import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Store, StoreFullError, type Writes } from '../../src/broker/engine/store.ts'
import { openStore } from '../../src/broker/store/sqlite-store.ts'
import { tempDir } from '../support/run-folder.ts'
import { harness } from './engine-harness.ts'

function prepared(store?: Store) {
  const h = harness(store)
  const p = h.peer()
  h.queue('in')
  h.queue('out')
  p.publish('', 'in', 'work')
  h.turn()
  p.channel.begin()
  return { h, p, tag: p.channel.get('in', false)?.tag ?? 0 }
}

describe('a transaction', () => {
  test('has no effect before its commit, and then in one write of the store', () => {
    const real = openStore(join(tempDir('transactions'), 'broker.db'))
    const commits: Writes[] = []
    const { h, p, tag } = prepared({ ...real, commit: (writes) => real.commit((commits.push(writes), writes)) })
    commits.length = 0
    p.publish('', 'out', 'a')
    p.publish('', 'out', 'b')
    p.channel.ack(tag, false)
    h.turn()
    expect([commits.length, h.depth('out'), p.channel.unsettled]).toEqual([0, 0, 0])
    p.channel.commit()
    expect(commits.map(({ inserts, deletes }) => [inserts.length, deletes.length])).toEqual([[2, 1]])
    expect([h.depth('out'), h.depth('in')]).toEqual([2, 0])
    real.close(true)
  })

  test('that finds no room leaves nothing behind, and the message it took is there again', () => {
    const real = openStore(join(tempDir('transactions'), 'broker.db'))
    let full = false
    const commit = (writes: Writes): void => {
      if (full) throw new StoreFullError('the disk is full')
      real.commit(writes)
    }
    const { h, p, tag } = prepared({ ...real, commit })
    p.publish('', 'out', 'a')
    p.channel.ack(tag, false)
    full = true
    expect(() => p.channel.commit()).toThrow('RESOURCE_ERROR - the disk is full')
    full = false
    h.turn()
    expect([h.depth('out'), h.depth('in')]).toEqual([0, 1])
    expect(h.peer().channel.get('in', true)?.entry.redelivered).toBe(true)
    real.close(true)
  })

  test('rolled back, deliveries may be settled again, in their order', () => {
    const { h, p } = prepared()
    for (const body of ['second', 'third', 'fourth']) h.peer().publish('', 'in', body)
    h.turn()
    for (let n = 0; n < 3; n++) p.channel.get('in', false)
    p.channel.ack(1, false)
    p.channel.reject(3, false)
    p.publish('', 'out', 'never')
    p.channel.rollback()
    p.channel.ack(3, true)
    expect(() => p.channel.ack(1, false)).toThrow('unknown delivery tag 1')
    p.channel.commit()
    p.channel.close('untouched')
    h.turn()
    expect([h.depth('in'), h.depth('out')]).toEqual([1, 0])
  })

  test('that is open when its channel ends never was', () => {
    const { h, p, tag } = prepared()
    p.publish('', 'out', 'never')
    p.channel.ack(tag, false)
    p.channel.close('untouched')
    h.turn()
    expect([h.depth('in'), h.depth('out')]).toEqual([1, 0])
  })

  test.each([false, true])('keeps the prefetch taken until its commit; shared by the channel: %s', (shared) => {
    const { h, p, tag } = prepared()
    p.channel.ack(tag, false)
    p.channel.commit()
    for (const body of ['x', 'y']) h.peer().publish('', 'out', body)
    p.channel.qos(1, shared)
    p.channel.consume({ queue: 'out', tag: '', noAck: false, exclusive: false, arguments: {} })
    h.turn()
    p.channel.ack(p.take()[0]!.tag, false)
    h.turn()
    expect(p.take()).toEqual([])
    p.channel.commit()
    h.turn()
    expect(p.take()).toHaveLength(1)
  })

  test('is refused while an alarm forbids publishes, but not when it only settles', () => {
    const { h, p, tag } = prepared()
    h.engine.setAlarm('the disk is nearly full')
    p.publish('', 'out', 'x')
    p.channel.ack(tag, false)
    expect(() => p.channel.commit()).toThrow('RESOURCE_ERROR - the disk is nearly full')
    p.channel.ack(tag, false)
    p.channel.commit()
    expect(p.channel.unsettled).toBe(0)
  })
})

describe('direct answers', () => {
  test('go to the one channel that asked, and to nobody once it is gone', () => {
    const h = harness()
    const [client, other, server] = [h.peer(), h.peer(), h.peer()]
    const replies = { queue: 'amq.rabbitmq.reply-to', tag: 'answers', noAck: true, exclusive: false, arguments: {} }
    h.queue('service')
    for (const peer of [client, other]) peer.channel.consume(replies)
    client.publish('', 'service', 'question', { replyTo: 'amq.rabbitmq.reply-to' })
    h.turn()
    server.channel.consume({ queue: 'service', tag: '', noAck: true, exclusive: false, arguments: {} })
    h.turn()
    const address = server.take()[0]?.properties.replyTo ?? ''
    expect(address).toMatch(/^amq\.rabbitmq\.reply-to\.[\w-]{24}$/)
    expect(h.engine.isReplyQueue(address)).toBe(true)
    server.publish('', address, 'answer')
    h.turn()
    expect([client.take().map(({ body, consumer }) => [body, consumer]), other.take()]).toEqual([[['answer', 'answers']], []])
    client.channel.close('untouched')
    expect(() => h.engine.isReplyQueue(address)).toThrow('NOT_FOUND - no queue')
    server.publish('', address, 'late', {}, true)
    h.turn()
    expect(server.returned).toEqual(['late'])
  })
})

describe('a single active consumer', () => {
  test('stays active when one with a higher priority comes', () => {
    const h = harness()
    const p = h.peer()
    h.queue('q', { 'x-single-active-consumer': true })
    for (const [tag, priority] of [
      ['first', 0],
      ['second', 5],
    ] as const) {
      p.channel.consume({ queue: 'q', tag, noAck: true, exclusive: false, arguments: { 'x-priority': priority } })
    }
    p.publish('', 'q', '1')
    h.turn()
    p.channel.cancel('first')
    p.publish('', 'q', '2')
    h.turn()
    expect(p.take().map(({ consumer }) => consumer)).toEqual(['first', 'second'])
  })
})
