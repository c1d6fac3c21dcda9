import { describe, expect, test } from 'vitest'
import { harness, type Harness, type Peer } from './engine-harness.ts'
import { bodyInMemory } from '../../src/broker/engine/index.ts'

const consume = (peer: Peer, queue: string, options: { tag?: string; prefetch?: number; noAck?: boolean; args?: object } = {}): string =>
  peer.channel.consume({
    queue,
    tag: options.tag ?? '',
    noAck: options.noAck ?? false,
    exclusive: false,
    arguments: { ...options.args },
    ...(options.prefetch === undefined ? {} : { prefetch: options.prefetch }),
  })

const bodies = (peer: Peer): string[] => peer.take().map((got) => got.body)

function filled(count: number, args = {}): { h: Harness; p: Peer } {
  const h = harness()
  const p = h.peer()
  h.queue('q', args)
  for (let n = 1; n <= count; n++) p.publish('', 'q', `${n}`)
  h.turn()
  return { h, p }
}

describe('delivery', () => {
  test('prefetch limits each consumer, and each ack makes room for one', () => {
    const { h, p } = filled(5)
    consume(p, 'q', { prefetch: 2 })
    h.turn()
    const [first] = p.take()
    p.channel.ack(first?.tag ?? 0, false)
    h.turn()
    expect(bodies(p)).toEqual(['3'])
    expect(() => p.channel.ack(first?.tag ?? 0, false)).toThrow('PRECONDITION_FAILED - unknown delivery tag 1')
    p.channel.ack(0, true)
    h.turn()
    expect(bodies(p)).toEqual(['4', '5'])
    expect(h.engine.stats()[0]).toMatchObject({ ready: 0, unsettled: 2, consumers: 1, published: 5, delivered: 5, acked: 3 })
  })

  test('a shared prefetch is one for the whole channel', () => {
    const { h, p } = filled(6)
    h.queue('other')
    for (let n = 1; n <= 6; n++) p.publish('', 'other', `o${n}`)
    p.channel.qos(3, true)
    consume(p, 'q')
    consume(p, 'other')
    h.turn()
    expect(p.channel.unsettled).toBe(3)
    p.channel.ack(2, true)
    h.turn()
    expect(p.channel.unsettled).toBe(3)
  })

  test('consumers are served in turn; priority goes first; a single active consumer is alone', () => {
    const { h, p } = filled(4)
    consume(p, 'q', { tag: 'a' })
    consume(p, 'q', { tag: 'b' })
    h.turn()
    expect(p.take().map((got) => got.consumer)).toEqual(['a', 'b', 'a', 'b'])

    consume(p, 'q', { tag: 'vip', prefetch: 2, args: { 'x-priority': 10 } })
    for (let n = 0; n < 4; n++) p.publish('', 'q', 'x')
    h.turn()
    expect(p.take().map((got) => got.consumer)).toEqual(['vip', 'vip', 'a', 'b'])

    h.queue('single', { 'x-single-active-consumer': true })
    consume(p, 'single', { tag: 's1' })
    consume(p, 'single', { tag: 's2' })
    for (let n = 0; n < 3; n++) p.publish('', 'single', 'x')
    h.turn()
    expect(p.take().map((got) => got.consumer)).toEqual(['s1', 's1', 's1'])
    p.channel.cancel('s1')
    p.publish('', 'single', 'y')
    h.turn()
    expect(p.take().map((got) => got.consumer)).toEqual(['s2'])
  })

  test('a slow reader gets nothing until it reads again, and others go on', () => {
    const { h, p } = filled(0)
    const slow = h.peer()
    slow.reading = false
    consume(slow, 'q', { tag: 'slow' })
    consume(p, 'q', { tag: 'quick' })
    for (let n = 0; n < 3; n++) p.publish('', 'q', `${n}`)
    h.turn()
    expect([slow.take().length, p.take().length]).toEqual([0, 3])
    p.channel.cancel('quick')
    p.publish('', 'q', 'last')
    h.turn()
    expect(slow.take()).toEqual([])
    slow.reading = true
    slow.channel.resume()
    h.turn()
    expect(bodies(slow)).toEqual(['last'])
  })

  test('given back goes to its old place; a failure counts, nack and a goodbye do not', () => {
    const { h, p } = filled(4)
    consume(p, 'q', { tag: 'c', prefetch: 3 })
    h.turn()
    const [one, two] = p.take()
    p.channel.cancel('c')
    p.channel.giveBack(two?.tag ?? 0, false, 'failed')
    p.channel.giveBack(one?.tag ?? 0, false, 'untouched')
    p.channel.close('untouched')
    const next = h.peer()
    consume(next, 'q')
    h.turn()
    const got = next.take()
    expect(got.map((m) => [m.body, m.redelivered, m.headers['x-delivery-count']])).toEqual([
      ['1', true, 0],
      ['2', true, 1],
      ['3', true, 0],
      ['4', false, undefined],
    ])
    next.channel.close('failed')
    const last = h.peer()
    consume(last, 'q')
    h.turn()
    expect(last.take().map((m) => m.headers['x-delivery-count'])).toEqual([1, 2, 1, 1])
  })

  test('the memory a message takes is known wherever it is', () => {
    const h = harness()
    h.queue('q')
    const p = h.peer()
    const memory = (): number => h.engine.budget.bytes
    p.publish('', 'q', 'x'.repeat(1000))
    h.turn()
    const ready = memory()
    expect(ready).toBeGreaterThan(1000)
    const tag = p.channel.get('q', false)!.tag
    expect(memory()).toBe(0)
    p.channel.giveBack(tag, false, 'failed')
    expect(memory()).toBe(ready)
    p.channel.get('q', true)
    expect(memory()).toBe(0)
  })

  test('no-ack deliveries are gone when they are sent', () => {
    const { h, p } = filled(3)
    consume(p, 'q', { noAck: true, prefetch: 1 })
    h.turn()
    expect(bodies(p)).toEqual(['1', '2', '3'])
    p.channel.close('failed')
    h.turn()
    expect(h.depth('q')).toBe(0)
  })

  test('what was delivered can be settled after its consumer was cancelled, and after its queue is gone', () => {
    const { h, p } = filled(2)
    consume(p, 'q', { tag: 'c' })
    h.turn()
    const [one, two] = p.take()
    p.channel.cancel('c')
    p.channel.ack(one?.tag ?? 0, false)
    h.turn()
    expect(h.engine.stats()[0]).toMatchObject({ ready: 0, unsettled: 1 })
    h.engine.deleteQueue('q', {}, { ifUnused: false, ifEmpty: false })
    p.channel.giveBack(two?.tag ?? 0, false, 'failed')
    h.turn()
  })

  test('get takes one, also what was published in the same turn', () => {
    const { h, p } = filled(0)
    p.publish('', 'q', 'a')
    p.publish('', 'q', 'b')
    const got = p.channel.get('q', false)
    expect([Buffer.from(got ? bodyInMemory(got.message) : []).toString(), got?.remaining]).toEqual(['a', 1])
    p.channel.reject(got?.tag ?? 0, false)
    expect(p.channel.get('q', true)?.remaining).toBe(0)
    expect(p.channel.get('q', true)).toBeUndefined()
    h.turn()
    expect(h.engine.stats()[0]).toMatchObject({ ready: 0, unsettled: 0 })
  })

  test('purge drops what is ready and nothing else', () => {
    const { h, p } = filled(5)
    consume(p, 'q', { tag: 'c', prefetch: 2 })
    h.turn()
    p.publish('', 'q', '6')
    expect(h.engine.purge('q', {})).toBe(4)
    p.channel.giveBack(0, true, 'untouched')
    h.turn()
    expect(bodies(p)).toEqual(['1', '2', '1', '2'])
  })

  test('urgent messages go first, each priority in order', () => {
    const { h, p } = filled(0, { 'x-max-priority': 5 })
    for (const [body, priority] of [
      ['low', 0],
      ['high', 4],
      ['none', undefined],
      ['above', 200],
      ['high2', 4],
    ] as const) {
      p.publish('', 'q', body, priority === undefined ? {} : { priority })
    }
    h.turn()
    consume(p, 'q')
    h.turn()
    expect(bodies(p)).toEqual(['above', 'high', 'high2', 'low', 'none'])
  })

  test('a full queue drops its oldest, or refuses the newest', () => {
    const { h, p } = filled(0, { 'x-max-length': 2 })
    for (let n = 1; n <= 4; n++) p.publish('', 'q', `${n}`)
    h.turn()
    consume(p, 'q')
    h.turn()
    expect(bodies(p)).toEqual(['3', '4'])
    expect(p.settled).toEqual(['1 routed', '2 routed', '3 routed', '4 routed'])

    h.queue('strict', { 'x-max-length': 2, 'x-overflow': 'reject-publish' })
    h.queue('bytes', { 'x-max-length-bytes': 20 })
    const q = h.peer()
    for (let n = 1; n <= 3; n++) q.publish('', 'strict', `${n}`)
    h.turn()
    expect(q.settled).toEqual(['1 routed', '2 routed', '3 refused'])
    for (let n = 1; n <= 3; n++) q.publish('', 'bytes', 'x'.repeat(8))
    h.turn()
    expect(h.depth('bytes')).toBe(2)
  })

  test('publishes are settled in order, once the turn is over', () => {
    const { h, p } = filled(0)
    p.publish('', 'q', 'a', {}, true)
    p.publish('', 'nobody', 'b', {}, true)
    p.publish('', 'nobody', 'c')
    expect(p.settled).toEqual([])
    expect(p.returned).toEqual(['b'])
    h.turn()
    expect(p.settled).toEqual(['1 routed', '2 unrouted', '3 unrouted'])
  })

  test('under an alarm publishes are refused, and the rest goes on', () => {
    const { h, p } = filled(1)
    h.engine.setAlarm('DISK_LOW')
    p.publish('', 'q', 'no')
    consume(p, 'q')
    h.turn()
    expect(p.settled).toEqual(['1 routed', '2 failed'])
    expect(bodies(p)).toEqual(['1'])
    h.engine.setAlarm(undefined)
    p.publish('', 'q', 'yes')
    h.turn()
    expect(bodies(p)).toEqual(['yes'])
  })
})
