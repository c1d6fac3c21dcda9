import { describe, expect, it } from 'vitest'
import { exchange, queue } from '../../src/core/entities.ts'
import { ClosedError, ConnectionError, PublishError } from '../../src/core/errors.ts'
import { settle } from './fake-clock.ts'
import { bodies, CONFIRMED, endOf, setUp } from './scripted-connection.ts'

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

  it('is waited for by close(), which then refuses further work', async () => {
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
