import { expect, it } from 'vitest'
import { bind, defaultExchange, exchange, queue } from '../../src/core/entities.ts'
import { TopologyError } from '../../src/core/errors.ts'
import type { Outgoing } from '../../src/core/message.ts'
import { confirmed, onEachBroker, unrouted } from './brokers.ts'
import { consume, message, publish, unique } from './sessions.ts'

onEachBroker('topology', (on) => {
  it('declares exchanges, queues and bindings, twice the same, and tells their counts', async () => {
    const { session } = on
    const source = exchange(unique('x'), { type: 'topic' })
    const incoming = on.classic('q', { bindings: [bind(source, 'video.*'), bind(source, 'audio.#')] })
    await session.declareExchange(source)
    expect(await session.declareQueue(incoming)).toEqual({ name: incoming.name, messages: 0, consumers: 0 })
    await session.declareQueue(incoming)
    const to = (routingKey: string): Outgoing => message(routingKey, 'm', { exchange: source.name })
    expect(await publish(session, [to('video.created'), to('audio.a.b'), to('text.x')])).toEqual([confirmed, confirmed, unrouted])
    expect(await session.inspect(incoming.name)).toEqual({ name: incoming.name, messages: 2, consumers: 0 })
    await session.unbind(incoming.name, source.name, 'video.*', {})
    await session.unbind(incoming.name, source.name, 'video.*', {})
    expect(await publish(session, [to('video.created')])).toEqual([unrouted])
    expect(await session.purge(incoming.name)).toBe(2)
    await session.deleteQueue(incoming.name)
    await session.deleteQueue(incoming.name)
    await session.deleteExchange(source.name)
    await session.unbind(incoming.name, source.name, 'video.*', {})
    await expect(session.inspect(incoming.name)).rejects.toThrow(TopologyError)
  })

  it('lets the broker name a queue, and binds to the default exchange by doing nothing', async () => {
    const state = await on.session.declareQueue(queue('', {}))
    expect(state.name).toMatch(/^amq\.gen-/)
    const bound = on.classic('q')
    await on.session.declareQueue({ ...bound, bindings: [bind(defaultExchange, bound.name)] })
  })

  it('rejects what the broker refuses, by name and code, and the session lives on', async () => {
    const { session, deaths } = on
    const name = await on.declared()
    const refused = (what: RegExp, replyCode: number): unknown =>
      expect.objectContaining({ name: 'TopologyError', replyCode, message: expect.stringMatching(what) })
    await expect(session.inspect('no such queue')).rejects.toEqual(refused(/Inspecting queue "no such queue".*NOT_FOUND/, 404))
    await expect(session.declareQueue({ ...on.classic('q'), name, arguments: { 'x-max-length': 1 } })).rejects.toEqual(
      refused(/Declaring queue ".*PRECONDITION_FAILED.*x-max-length/, 406),
    )
    await expect(session.declareQueue({ ...on.classic('q'), name, durable: false })).rejects.toMatchObject({ argument: 'durable' })
    await expect(session.declareQueue({ ...on.classic('q'), name, arguments: { 'x-max-length': 1 } })).rejects.toMatchObject({
      argument: 'x-max-length',
    })
    await expect(consume(session, 'no such queue')).rejects.toEqual(refused(/Consuming from queue "no such queue"/, 404))
    await expect(session.get('no such queue')).rejects.toEqual(refused(/Fetching from queue "no such queue"/, 404))
    await expect(session.deleteExchange('amq.topic')).rejects.toEqual(refused(/Deleting exchange "amq.topic"/, 403))
    await expect(session.declareExchange(exchange('amq.topic', { type: 'fanout' }))).rejects.toEqual(refused(/amq.topic/, 406))
    const other = await on.open()
    const exclusive = await other.session.declareQueue(queue(unique('mine'), { exclusive: true }))
    await expect(session.inspect(exclusive.name)).rejects.toEqual(refused(/RESOURCE_LOCKED/, 405))
    await other.session.close()
    expect(deaths).toEqual([])
    expect((await session.inspect(name)).name).toBe(name)
  })

  it('runs what was asked for together, failures included', async () => {
    const name = await on.declared()
    const results = await Promise.allSettled([
      on.session.inspect(name),
      on.session.inspect('nope'),
      on.session.inspect(name),
      on.session.inspect('nope'),
      on.session.purge(name),
    ])
    expect(results.map((r) => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'])
  })
})
