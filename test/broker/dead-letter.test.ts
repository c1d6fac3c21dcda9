import { describe, expect, test } from 'vitest'
import { bodyInMemory, decodeProperties } from '../../src/broker/engine/index.ts'
import { harness, type Harness, type Peer } from './engine-harness.ts'

const toDead = (more = {}) => ({ 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead', ...more })

function setup(args: object): { h: Harness; p: Peer } {
  const h = harness()
  h.queue('dead')
  h.queue('q', toDead(args))
  return { h, p: h.peer() }
}

const fetch = (p: Peer, queue: string) => {
  const got = p.channel.get(queue, true)
  return (
    got && { body: Buffer.from(bodyInMemory(got.message)).toString(), ...propertiesOf(got.message.properties), key: got.message.routingKey }
  )
}

const propertiesOf = (bytes: Uint8Array) => {
  const { headers, expirationMs, messageId } = decodeProperties(bytes)
  return { headers: headers ?? {}, expirationMs, messageId }
}

describe('time and dead letters', () => {
  test('an expired message becomes a dead letter with its history', () => {
    const { h, p } = setup({})
    p.publish('', 'q', 'x', { expirationMs: 50, messageId: 'm', headers: { mine: 1 } })
    h.turn()
    h.clock.pass(49)
    h.turn()
    expect(h.depth('dead')).toBe(0)
    h.clock.pass(1)
    h.turn()
    const letter = fetch(p, 'dead')
    expect(letter).toMatchObject({ body: 'x', key: 'dead', messageId: 'm', expirationMs: undefined })
    expect({ ...letter?.headers }).toMatchObject({
      mine: 1,
      'x-first-death-exchange': '',
      'x-first-death-queue': 'q',
      'x-first-death-reason': 'expired',
      'x-death': [{ count: 1, reason: 'expired', queue: 'q', exchange: '', 'routing-keys': ['q'], 'original-expiration': '50' }],
    })
  })

  test('what the last consumer of an auto-delete queue held too often is a dead letter, though the queue goes with it', () => {
    const { h, p } = setup({})
    h.queue('brief', toDead({ 'x-delivery-limit': 0 }), { autoDelete: true })
    const last = h.peer()
    last.channel.consume({ queue: 'brief', tag: '', noAck: false, exclusive: false, arguments: {} })
    p.publish('', 'brief', 'x')
    h.turn()
    expect(last.take()).toHaveLength(1)
    last.channel.close('failed')
    h.turn()
    expect(h.depth('brief')).toBe(-1)
    expect(fetch(p, 'dead')).toMatchObject({ body: 'x' })
  })

  test('deaths of one kind are counted, the latest first', () => {
    const { h, p } = setup({})
    let headers = {}
    for (const reason of ['rejected', 'expired', 'rejected'] as const) {
      p.publish('', 'q', 'x', { headers, ...(reason === 'expired' && { expirationMs: 1 }) })
      if (reason === 'expired') {
        h.turn()
        h.clock.pass(1)
        h.turn()
      } else p.channel.reject(p.channel.get('q', false)?.tag ?? 0, false)
      h.turn()
      headers = fetch(p, 'dead')?.headers ?? {}
    }
    const deaths = (headers as { 'x-death': { reason: string; count: number }[] })['x-death']
    expect(deaths.map(({ reason, count }) => [reason, count])).toEqual([
      ['rejected', 2],
      ['expired', 1],
    ])
    expect(headers).toMatchObject({ 'x-first-death-reason': 'rejected' })
  })

  test('the shorter of queue and message TTL counts, and it is kept through a requeue', () => {
    const { h, p } = setup({ 'x-message-ttl': 100 })
    p.publish('', 'q', 'short', { expirationMs: 10 })
    p.publish('', 'q', 'long', { expirationMs: 1000 })
    h.turn()
    h.clock.pass(10)
    h.turn()
    expect([h.depth('q'), h.depth('dead')]).toEqual([1, 1])
    const held = p.channel.get('q', false)
    h.clock.pass(200)
    h.turn()
    expect(h.depth('dead')).toBe(1)
    p.channel.giveBack(held?.tag ?? 0, false, 'untouched')
    h.turn()
    expect([h.depth('q'), h.depth('dead')]).toEqual([0, 2])
  })

  test('a TTL of 0 is for a consumer that waits, or for nobody', () => {
    const { h, p } = setup({ 'x-message-ttl': 0 })
    p.publish('', 'q', 'nobody')
    h.turn()
    expect([h.depth('q'), h.depth('dead')]).toEqual([0, 1])
    p.channel.consume({ queue: 'q', tag: '', noAck: true, exclusive: false, arguments: {} })
    p.publish('', 'q', 'me')
    h.turn()
    expect(p.take().map((got) => got.body)).toEqual(['me'])
  })

  test('rejected, dropped for length and beyond the delivery limit', () => {
    const { h, p } = setup({ 'x-max-length': 1, 'x-queue-type': 'quorum', 'x-delivery-limit': 2 })
    p.publish('', 'q', 'old')
    p.publish('', 'q', 'new')
    h.turn()
    expect(fetch(p, 'dead')).toMatchObject({ body: 'old', headers: { 'x-first-death-reason': 'maxlen' } })
    for (let n = 0; n < 3; n++) {
      expect(h.depth('q')).toBe(1)
      p.channel.giveBack(p.channel.get('q', false)?.tag ?? 0, false, 'failed')
      h.turn()
    }
    expect(fetch(p, 'dead')).toMatchObject({ body: 'new', headers: { 'x-first-death-reason': 'delivery_limit' } })
    p.publish('', 'q', 'bad')
    p.channel.reject(p.channel.get('q', false)?.tag ?? 0, false)
    h.turn()
    expect(fetch(p, 'dead')).toMatchObject({ body: 'bad', headers: { 'x-first-death-reason': 'rejected' } })
  })

  test('a circle of expiries ends, one with a rejection goes on', () => {
    const h = harness()
    const p = h.peer()
    h.queue('a', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'b', 'x-message-ttl': 10 })
    h.queue('b', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'a', 'x-message-ttl': 10 })
    p.publish('', 'a', 'x')
    h.turn()
    for (let n = 0; n < 10; n++) {
      h.clock.pass(10)
      h.turn()
    }
    expect([h.depth('a'), h.depth('b')]).toEqual([0, 0])
    expect(h.events).toMatchObject([{ type: 'dead-letter-dropped', queue: 'b', exchange: '', reason: 'expired' }])

    // The usual retry: rejected from work, waits, comes back.
    h.queue('work', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'wait' })
    h.queue('wait', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'work', 'x-message-ttl': 10 })
    p.publish('', 'work', 'x')
    for (let n = 0; n < 5; n++) {
      const got = p.channel.get('work', false)
      expect(got).toBeDefined()
      p.channel.reject(got?.tag ?? 0, false)
      h.turn()
      h.clock.pass(10)
      h.turn()
    }
    expect(h.depth('work')).toBe(1)
  })

  test('without a place to go a dead letter is dropped, and the broker says so', () => {
    const h = harness()
    const p = h.peer()
    h.queue('q', { 'x-dead-letter-exchange': 'missing', 'x-message-ttl': 5 })
    p.publish('', 'q', 'x')
    h.turn()
    h.clock.pass(5)
    h.turn()
    expect(h.events).toEqual([{ type: 'dead-letter-dropped', queue: 'q', exchange: 'missing', reason: 'expired' }])
  })

  test('a full reject-publish target still takes dead letters', () => {
    const h = harness()
    const p = h.peer()
    h.queue('dead', { 'x-max-length': 1, 'x-overflow': 'reject-publish' })
    h.queue('q', toDead({ 'x-message-ttl': 5 }))
    for (let n = 0; n < 3; n++) p.publish('', 'q', `${n}`)
    h.turn()
    h.clock.pass(5)
    h.turn()
    expect(h.depth('dead')).toBe(3)
  })
})
