import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openStore } from '../../src/broker/store/sqlite-store.ts'
import { tempDir } from '../support/run-folder.ts'
import { harness, type Harness } from './engine-harness.ts'

const declare = (h: Harness, name: string, type = 'fanout', more: { autoDelete?: boolean; alternate?: string } = {}): void => {
  const args = more.alternate === undefined ? {} : { 'alternate-exchange': more.alternate }
  h.engine.declareExchange({ name, type, durable: true, autoDelete: more.autoDelete ?? false, internal: false, arguments: args })
}

describe('bindings between exchanges', () => {
  test('lead on by the routing key, through circles, and a queue gets one copy', () => {
    const h = harness()
    const p = h.peer()
    for (const name of ['a', 'b', 'c']) declare(h, name, 'topic')
    h.engine.bindExchange('b', 'a', 'news.#', {})
    h.engine.bindExchange('c', 'b', '#.sport', {})
    h.engine.bindExchange('a', 'c', '#', {})
    h.queue('q')
    for (const exchange of ['a', 'b', 'c']) h.engine.bind('q', exchange, '#.sport', {}, {})
    h.queue('deep')
    h.engine.bind('deep', 'c', '#', {}, {})
    p.publish('a', 'news.sport', '1')
    p.publish('a', 'news.weather', '2')
    h.turn()
    expect([h.depth('q'), h.depth('deep')]).toEqual([1, 1])
    h.engine.unbindExchange('c', 'b', '#.sport', {})
    p.publish('a', 'news.sport', '3')
    h.turn()
    expect([h.depth('q'), h.depth('deep')]).toEqual([2, 1])
  })

  test('an alternate exchange comes in where an exchange on the way has nobody', () => {
    const h = harness()
    const p = h.peer()
    declare(h, 'rest')
    declare(h, 'inner', 'direct', { alternate: 'rest' })
    declare(h, 'outer')
    h.engine.bindExchange('inner', 'outer', '', {})
    h.queue('q')
    h.engine.bind('q', 'rest', '', {}, {})
    p.publish('outer', 'whatever', 'x')
    h.turn()
    expect(h.depth('q')).toBe(1)
  })

  test('end with either exchange, and an auto-delete source with its last', () => {
    const h = harness()
    declare(h, 'source', 'fanout', { autoDelete: true })
    declare(h, 'target')
    h.engine.bindExchange('target', 'source', '', {})
    expect(() => h.engine.deleteExchange('source', true)).toThrow("exchange 'source' in vhost '/' in use")
    h.engine.deleteExchange('target', true)
    expect(h.engine.hasExchange('source')).toBe(false)
  })

  test('are refused for the default exchange and for unknown ones', () => {
    const h = harness()
    declare(h, 'e')
    expect(() => h.engine.bindExchange('', 'e', '', {})).toThrow('ACCESS_REFUSED - operation not permitted on the default exchange')
    expect(() => h.engine.bindExchange('e', '', '', {})).toThrow('ACCESS_REFUSED')
    expect(() => h.engine.bindExchange('e', 'nope', '', {})).toThrow("no exchange 'nope'")
  })

  test('of durable exchanges are there after a restart, also in a file of the version before them', () => {
    const path = join(tempDir('exchange-bindings'), 'broker.db')
    openStore(path).close(true)
    const old = new DatabaseSync(path)
    old.exec('DROP TABLE exchange_binding; DROP TABLE dropped; PRAGMA user_version = 1')
    old.close()
    const store = openStore(path)
    const first = harness(store)
    for (const name of ['a', 'b', 'gone']) declare(first, name)
    first.engine.bindExchange('b', 'a', 'k', { note: 1 })
    first.engine.bindExchange('gone', 'a', 'k', {})
    first.engine.bindExchange('b', 'a', 'other', {})
    first.engine.unbindExchange('b', 'a', 'other', {})
    first.engine.deleteExchange('gone', false)
    first.queue('q')
    first.engine.bind('q', 'b', '', {}, {})
    first.engine.close()
    store.close(true)
    const again = openStore(path)
    expect(again.load().bindings).toContainEqual({
      exchange: 'a',
      to: 'exchange',
      destination: 'b',
      routingKey: 'k',
      arguments: { note: 1 },
    })
    const h = harness(again)
    h.peer().publish('a', '', 'x')
    h.turn()
    expect(h.depth('q')).toBe(1)
    h.engine.unbindExchange('b', 'a', 'k', { note: 1 })
    expect(again.load().bindings.filter(({ to }) => to === 'exchange')).toEqual([])
    again.close(true)
  })
})

describe('routing keys in headers', () => {
  test('CC and BCC are routed like the key, and the broker keeps the second to itself', () => {
    const h = harness()
    const p = h.peer()
    for (const name of ['to', 'copy', 'blind']) h.queue(name)
    h.engine.bind('copy', 'amq.direct', 'copy', {}, {})
    p.publish('', 'to', 'x', { headers: { CC: ['copy', 'to'], BCC: ['blind'] } })
    p.publish('amq.direct', 'nobody', 'y', { headers: { CC: ['copy'] } })
    h.turn()
    expect(['to', 'copy', 'blind'].map((name) => h.depth(name))).toEqual([1, 2, 1])
    p.channel.consume({ queue: 'blind', tag: '', noAck: true, exclusive: false, arguments: {} })
    h.turn()
    expect(p.take().map(({ routingKey, headers }) => [routingKey, headers])).toEqual([['to', { CC: ['copy', 'to'] }]])
    expect(() => p.publish('', 'to', 'x', { headers: { CC: 'copy' } })).toThrow(
      'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}',
    )
  })

  test('copies go on as dead letters by the same keys, unless the queue names another', () => {
    const h = harness()
    const p = h.peer()
    h.queue('same', { 'x-dead-letter-exchange': 'amq.direct', 'x-message-ttl': 10 })
    h.queue('other', { 'x-dead-letter-exchange': 'amq.direct', 'x-dead-letter-routing-key': 'dead', 'x-message-ttl': 10 })
    for (const key of ['copy', 'dead']) h.engine.bind(h.queue(`for ${key}`), 'amq.direct', key, {}, {})
    for (const queue of ['same', 'other']) p.publish('', queue, queue, { headers: { CC: ['copy'] } })
    h.turn()
    h.clock.pass(20)
    h.turn()
    for (const queue of ['copy', 'dead'])
      p.channel.consume({ queue: `for ${queue}`, tag: queue, noAck: true, exclusive: false, arguments: {} })
    h.turn()
    const seen = p.take().map(({ consumer, body, headers }) => [consumer, body, headers['CC'], headers['x-death']])
    expect(seen).toMatchObject([
      ['copy', 'same', ['copy'], [{ 'routing-keys': ['same', 'copy'] }]],
      ['dead', 'other', undefined, [{ 'routing-keys': ['other', 'copy'] }]],
    ])
  })
})
