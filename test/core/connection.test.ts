import { describe, expect, it, onTestFinished } from 'vitest'
import { Connection } from '../../src/core/connection.ts'
import type { ConnectionEvent, ConnectionOptions } from '../../src/core/connection-options.ts'
import { exchange, queue } from '../../src/core/entities.ts'
import { ClosedError, ConnectionError, PublishError, TopologyError, UnsupportedError } from '../../src/core/errors.ts'
import { parseUrls } from '../../src/core/urls.ts'
import { FakeClock, settle } from './fake-clock.ts'
import { ScriptedTransport } from './scripted-transport.ts'

const CONFIRMED = { status: 'confirmed', routed: true } as const

function setUp(options: ConnectionOptions = {}, url = 'scripted://a') {
  const transport = new ScriptedTransport()
  const clock = new FakeClock()
  const events: ConnectionEvent[] = []
  const connection = new Connection(parseUrls(url), async () => transport, {
    clock,
    onEvent: (event) => events.push(event),
    ...options,
  })
  onTestFinished(async () => {
    const closed = connection.close({ deadlineMs: 10 })
    await clock.pass(100)
    await closed
  })
  return { transport, clock, connection, events, publishing: () => transport.of('publish')!, consuming: () => transport.of('consume')! }
}

/** A promise's end, without failing the test when it rejects before it is looked at. */
function endOf<T>(promise: Promise<T>): { value?: T; error?: unknown } {
  const end: { value?: T; error?: unknown } = {}
  promise.then(
    (value) => (end.value = value),
    (error: unknown) => (end.error = error),
  )
  return end
}

const bodies = (session: { sent: { message: { body: Uint8Array } }[] }) =>
  session.sent.map(({ message }) => Buffer.from(message.body).toString())

describe('publishing', () => {
  it('connects when first used, and resolves when the broker has confirmed', async () => {
    const { connection, publishing, transport } = setUp()
    expect(transport.sessions).toHaveLength(0)
    const end = endOf(connection.publish('logs', 'info', 'hello', { messageId: '1' }))
    await settle()
    expect(end).toEqual({})
    expect(publishing().sent[0]!.message).toMatchObject({
      exchange: 'logs',
      routingKey: 'info',
      properties: { persistent: true, contentType: 'text/plain', messageId: '1' },
    })
    publishing().sent[0]!.answer(CONFIRMED)
    await settle()
    expect(end).toEqual({ value: { routed: true } })
  })

  it('rejects what no queue got, unless that is allowed', async () => {
    const { connection, publishing } = setUp()
    const strict = endOf(connection.publish('logs', 'x', 'a'))
    const loose = endOf(connection.publish('logs', 'x', 'b', { mandatory: false }))
    await settle()
    for (const sent of publishing().sent) sent.answer({ status: 'confirmed', routed: false })
    await settle()
    expect(strict.error).toMatchObject({ code: 'ERR_OMNIBUS_PUBLISH', reason: 'unroutable' })
    expect(String(strict.error)).toContain('exchange "logs" has no queue for routing key "x"')
    expect(loose.value).toEqual({ routed: false })
  })

  it('sends again, in order and once each, what a dead session left unconfirmed', async () => {
    const { clock, connection, publishing } = setUp()
    const ends = ['a', 'b', 'c'].map((body) => endOf(connection.publish('x', '', body)))
    await settle()
    const first = publishing()
    first.sent[1]!.answer(CONFIRMED)
    first.die()
    await clock.pass(200)
    expect(publishing()).not.toBe(first)
    expect(bodies(publishing())).toEqual(['a', 'c'])
    for (const sent of publishing().sent) sent.answer(CONFIRMED)
    await settle()
    expect(ends.map(({ value }) => value?.routed)).toEqual([true, true, true])
  })

  it('settles by its deadline when there is no broker, says why, and never sends it afterwards', async () => {
    const { clock, connection, transport, publishing } = setUp({ deadlineMs: 1_000 })
    transport.refusals.push(...Array.from({ length: 8 }, () => new ConnectionError('connect ECONNREFUSED')))
    const end = endOf(connection.publish('x', '', 'late'))
    await clock.pass(1_000)
    expect(end.error).toBeInstanceOf(PublishError)
    expect(end.error).toMatchObject({ reason: 'timeout' })
    expect(String(end.error)).toContain('ECONNREFUSED')
    await clock.pass(60_000)
    expect(bodies(publishing())).toEqual([])
  })

  it('bounds what is in flight and sends the rest in its turn', async () => {
    const { connection, publishing } = setUp({ maxInFlight: 2 })
    const ends = ['a', 'b', 'c', 'd'].map((body) => endOf(connection.publish('x', '', body)))
    await settle()
    expect(bodies(publishing())).toEqual(['a', 'b'])
    publishing().sent[0]!.answer(CONFIRMED)
    await settle()
    expect(bodies(publishing())).toEqual(['a', 'b', 'c'])
    for (const sent of publishing().sent) sent.answer(CONFIRMED)
    await settle()
    publishing().sent[3]!.answer(CONFIRMED)
    await settle()
    expect(ends.every(({ value }) => value?.routed)).toBe(true)
  })

  it('waits while the broker blocks, and gives up by its signal', async () => {
    const { connection, events, publishing } = setUp()
    await settle()
    const first = endOf(connection.publish('x', '', 'a'))
    await settle()
    publishing().sent[0]!.answer(CONFIRMED)
    publishing().options.handlers.blocked('low on memory')
    const stop = new AbortController()
    const given = endOf(connection.publish('x', '', 'b', { signal: stop.signal }))
    const kept = endOf(connection.publish('x', '', 'c'))
    await settle()
    stop.abort()
    await settle()
    expect([first.value?.routed, bodies(publishing())]).toEqual([true, ['a']])
    expect(given.error).toMatchObject({ reason: 'aborted' })
    publishing().options.handlers.unblocked()
    await settle()
    expect(bodies(publishing())).toEqual(['a', 'c'])
    publishing().sent[1]!.answer(CONFIRMED)
    await settle()
    expect(kept.value).toEqual({ routed: true })
    expect(events.map(({ type }) => type)).toEqual(['up', 'blocked', 'unblocked'])
  })

  it('declares an entity before the first message to it, and again on the next session', async () => {
    const { clock, connection, publishing } = setUp()
    const logs = exchange('logs')
    void endOf(connection.publish(logs, 'a', 1))
    void endOf(connection.publish(logs, 'b', 2))
    void endOf(connection.publish(queue('jobs'), { n: 1 }))
    await settle()
    expect(publishing().declared).toEqual(['logs', 'jobs'])
    expect(publishing().sent.map(({ message }) => `${message.exchange}/${message.routingKey}`)).toEqual(['logs/a', 'logs/b', '/jobs'])
    publishing().die()
    await clock.pass(200)
    expect(publishing().declared).toEqual(['logs', 'jobs'])
  })
})

describe('requesting', () => {
  it('says what speaks against a request, and does not wait for an answer that cannot come', async () => {
    const { connection } = setUp()
    const end = endOf(connection.request('logs', 'info', 'hello'))
    await settle()
    expect(end.error).toBeInstanceOf(UnsupportedError)
    await expect(connection.request('logs', 'info', 'hello')).rejects.toBeInstanceOf(UnsupportedError)
    await expect(connection.request('logs', 'info', 'hello', { replyTo: 'mine' })).rejects.toThrow(
      'request() cannot be used:\n  replyTo: expected nothing, since request() sets it, got "mine"',
    )
  })
})

describe('recovery', () => {
  it('tries the hosts in turn, and less and less often', async () => {
    const { clock, connection, transport } = setUp({}, 'scripted://a,b')
    transport.refusals.push(...Array.from({ length: 100 }, () => new ConnectionError('refused')))
    void endOf(connection.ready())
    await clock.pass(1_000)
    const early = transport.tried.length
    expect(transport.tried.slice(0, 4)).toEqual(['a', 'b', 'a', 'b'])
    await clock.pass(60_000)
    const before = transport.tried.length
    await clock.pass(60_000)
    expect(early).toBeGreaterThan(4)
    expect(transport.tried.length - before).toBeLessThan(6)
  })

  it('follows a host that takes it soon, however often the link is cut, even before it is up', async () => {
    const { clock, connection, transport, publishing } = setUp()
    await connection.declare(exchange('logs'))
    transport.stalled = true
    for (let cut = 0; cut < 20; cut++) {
      publishing().die()
      await clock.pass(600)
    }
    expect(transport.sessions).toHaveLength(21)
    transport.stalled = false
    publishing().die()
    await clock.pass(600)
    expect(connection.connected).toBe(true)
  })

  it('tells at once when the broker refuses for good, and keeps asking slowly', async () => {
    const { clock, connection, transport } = setUp()
    transport.refusals.push(new ConnectionError('ACCESS_REFUSED', { fatal: true }))
    const end = endOf(connection.ready())
    await settle()
    expect(end.error).toMatchObject({ fatal: true })
    await clock.pass(1_000)
    expect(transport.sessions).toHaveLength(0)
    await clock.pass(5_000)
    expect(connection.connected).toBe(true)
  })

  it('gives up a session that has fallen silent', async () => {
    const { clock, connection, transport } = setUp({ heartbeatMs: 100 })
    void endOf(connection.ready())
    await settle()
    const silent = transport.sessions[0]!
    silent.lastHeardAt = clock.monotonic()
    await clock.pass(1_000)
    expect(silent.dead).toBe(true)
    expect(transport.sessions.length).toBeGreaterThan(1)
  })
})

describe('consuming', () => {
  it('subscribes again after a loss and after a cancel by the broker', async () => {
    const { clock, connection, consuming } = setUp()
    const seen: string[] = []
    const consumer = await connection.consume(queue('q'), (delivery) => void seen.push(delivery.text()))
    const first = consuming()
    first.deliver('one')
    first.die()
    await clock.pass(200)
    expect(consuming()).not.toBe(first)
    consuming().deliver('two')
    consuming().subscriptions[0]!.onCancelled('queue deleted')
    expect(consumer.subscribed).toBe(false)
    await clock.pass(1_000)
    expect(consuming().subscriptions).toHaveLength(2)
    consuming().deliver('three')
    expect(seen).toEqual(['one', 'two', 'three'])
  })

  it('asks less and less often for a queue that the broker goes on refusing', async () => {
    const { clock, connection, consuming, events } = setUp()
    await connection.consume(queue('q'), () => undefined)
    consuming().declareQueue = () => Promise.reject(new TopologyError("PRECONDITION_FAILED - inequivalent arg 'durable'", 406))
    consuming().subscriptions[0]!.onCancelled('queue deleted')
    const refusals = () => events.filter(({ type }) => type === 'resubscribe-failed').length
    await clock.pass(60_000)
    const early = refusals()
    await clock.pass(300_000)
    expect(early).toBeGreaterThan(2)
    expect(refusals() - early).toBeLessThanOrEqual(10)
  })

  it('reports a late settle instead of throwing', async () => {
    const { clock, connection, consuming } = setUp()
    const finish = Promise.withResolvers<void>()
    const acks: boolean[] = []
    await connection.consume(queue('q'), async (delivery) => {
      await finish.promise
      acks.push(await delivery.ack(), delivery.lost)
    })
    consuming().deliver('one')
    consuming().die()
    await clock.pass(200)
    finish.resolve()
    await settle()
    expect(acks).toEqual([false, true])
  })

  it('puts a delivery back, after a pause, when its handler throws', async () => {
    const { clock, connection, consuming, events } = setUp()
    await connection.consume(queue('q'), () => Promise.reject(new Error('boom')))
    consuming().deliver('one')
    await settle()
    expect(events.at(-1)).toMatchObject({ type: 'handler-failed', queue: 'q' })
    expect(consuming().settled).toEqual([])
    await clock.pass(1_000)
    expect(consuming().settled).toEqual([['one', 'requeue']])
  })

  it('stops by waiting for what is held, and gives back the rest at the deadline', async () => {
    const { clock, connection, consuming } = setUp()
    const finish = Promise.withResolvers<void>()
    const consumer = await connection.consume(queue('q'), async (delivery) => {
      if (delivery.text() === 'quick') await finish.promise.then(() => delivery.ack())
      else await new Promise(() => undefined)
    })
    consuming().deliver('quick')
    consuming().deliver('stuck')
    const end = endOf(consumer.stop({ deadlineMs: 1_000 }))
    await settle()
    finish.resolve()
    await clock.pass(900)
    expect(end).toEqual({})
    await clock.pass(200)
    expect(end).toEqual({ value: 1 })
    expect(consuming().settled).toEqual([
      ['quick', 'ack'],
      ['stuck', 'release'],
    ])
  })
})

describe('close', () => {
  it('waits for confirms, then refuses further work', async () => {
    const { clock, connection, publishing } = setUp()
    const published = endOf(connection.publish('x', '', 'a'))
    await settle()
    const closed = endOf(connection.close({ deadlineMs: 5_000 }))
    await clock.pass(100)
    expect(closed).toEqual({})
    publishing().sent[0]!.answer(CONFIRMED)
    await settle()
    expect(published.value).toEqual({ routed: true })
    expect('value' in closed && publishing().closed).toBe(true)
    await expect(connection.publish('x', '', 'b')).rejects.toBeInstanceOf(ClosedError)
  })
})
