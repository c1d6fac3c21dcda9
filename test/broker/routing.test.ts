import { describe, expect, test } from 'vitest'
import { harness } from './engine-harness.ts'

const declare = (h: ReturnType<typeof harness>, name: string, type: string, args = {}): void =>
  h.engine.declareExchange({ name, type, durable: true, autoDelete: false, internal: false, arguments: args })

describe('routing', () => {
  test('a topic pattern matches words', () => {
    const h = harness()
    const cases: [string, string, boolean][] = [
      ['a.b', 'a.b', true],
      ['a.b', 'a.c', false],
      ['a.*', 'a.b', true],
      ['a.*', 'a', false],
      ['a.*', 'a.b.c', false],
      ['a.#', 'a', true],
      ['a.#', 'a.b.c', true],
      ['#', '', true],
      ['#', 'x.y', true],
      ['*', '', true],
      ['#.b', 'b', true],
      ['#.b', 'a.x.b', true],
      ['#.b', 'a.x.c', false],
      ['a.#.b.#.c', 'a.1.b.b.2.c', true],
      ['a.#.b.#.c', 'a.1.c', false],
      ['#.#.x', 'x', true],
      ['*.#', 'a', true],
      ['*.#.*', 'a', false],
      ['*.#.*', 'a.b', true],
    ]
    const p = h.peer()
    for (const [index, [pattern, key, matches]] of cases.entries()) {
      const exchange = `t${index}`
      declare(h, exchange, 'topic')
      const queue = h.queue(`q${index}`)
      h.engine.bind(queue, exchange, pattern, {}, {})
      p.publish(exchange, key, 'x')
      h.turn()
      expect([pattern, key, h.depth(queue) === 1]).toEqual([pattern, key, matches])
    }
  })

  test('a hostile topic pattern costs no more than its length', () => {
    const h = harness()
    const queue = h.queue('q')
    // With exponential backtracking this would not end.
    h.engine.bind(queue, 'amq.topic', `${'#.a.'.repeat(40)}b`, {}, {})
    h.peer().publish('amq.topic', 'a.'.repeat(120), 'x')
    h.turn()
    expect(h.depth('q')).toBe(0)
  })

  test('fanout ignores the key, direct wants it, and a queue bound twice gets one copy', () => {
    const h = harness()
    const p = h.peer()
    const queue = h.queue('q')
    h.engine.bind(queue, 'amq.fanout', '', {}, {})
    h.engine.bind(queue, 'amq.direct', 'k', {}, {})
    h.engine.bind(queue, 'amq.topic', '#', {}, {})
    h.engine.bind(queue, 'amq.topic', 'k', {}, {})
    p.publish('amq.fanout', 'whatever', '1')
    p.publish('amq.direct', 'k', '2')
    p.publish('amq.direct', 'other', '3')
    p.publish('amq.topic', 'k', '4')
    h.turn()
    expect(h.depth('q')).toBe(3)
  })

  test('headers match all or any, void ones by presence', () => {
    const h = harness()
    const p = h.peer()
    for (const name of ['all', 'any', 'present']) h.queue(name)
    h.engine.bind('all', 'amq.headers', '', { 'x-match': 'all', a: 1, b: 'x' }, {})
    h.engine.bind('any', 'amq.headers', '', { 'x-match': 'any', a: 1, b: 'x' }, {})
    h.engine.bind('present', 'amq.headers', '', { a: null }, {})
    p.publish('amq.headers', '', '1', { headers: { a: 1, b: 'x' } })
    p.publish('amq.headers', '', '2', { headers: { a: 1 } })
    p.publish('amq.headers', '', '3', { headers: { c: 1 } })
    h.turn()
    expect([h.depth('all'), h.depth('any'), h.depth('present')]).toEqual([1, 2, 2])
    expect(() => h.engine.bind('all', 'amq.headers', '', { 'x-match': 'some' }, {})).toThrow(/x-match/)
  })

  test('what nobody wants goes to the alternate exchange, else comes back when mandatory', () => {
    const h = harness()
    const p = h.peer()
    declare(h, 'main', 'direct', { 'alternate-exchange': 'rest' })
    declare(h, 'rest', 'fanout')
    p.publish('main', 'k', 'early', {}, true)
    h.turn()
    h.engine.bind(h.queue('leftovers'), 'rest', '', {}, {})
    p.publish('main', 'k', 'late', {}, true)
    h.turn()
    expect(p.returned).toEqual(['early'])
    expect(p.settled).toEqual(['1 unrouted', '2 routed'])
    expect(h.depth('leftovers')).toBe(1)
  })

  test('unbinding and deleting have effect at once; auto-delete exchanges go with their last binding', () => {
    const h = harness()
    const p = h.peer()
    h.engine.declareExchange({ name: 'brief', type: 'fanout', durable: false, autoDelete: true, internal: false, arguments: {} })
    const queue = h.queue('q')
    h.engine.bind(queue, 'brief', '', {}, {})
    p.publish('brief', '', '1')
    h.engine.unbind(queue, 'brief', '', {}, {})
    expect(() => p.publish('brief', '', '2')).toThrow("NOT_FOUND - no exchange 'brief' in vhost '/'")
    h.turn()
    expect(h.depth('q')).toBe(1)
  })

  test('internal exchanges take nothing from clients', () => {
    const h = harness()
    h.engine.declareExchange({ name: 'inner', type: 'fanout', durable: true, autoDelete: false, internal: true, arguments: {} })
    expect(() => h.peer().publish('inner', '', 'x')).toThrow("ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost '/'")
  })
})
