import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { queue } from '../../src/core/entities.ts'
import { ConnectionError } from '../../src/core/errors.ts'
import { hasOwnRabbit, startRabbit, type RabbitServer } from '../support/rabbitmq.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { waitFor } from '../support/wait.ts'
import { consume, message, openSession, publish, unique } from './sessions.ts'

describe.runIf(hasOwnRabbit())('a session that dies', () => {
  let rabbit: RabbitServer
  beforeAll(async () => {
    rabbit = await startRabbit()
  })
  afterAll(() => rabbit?.[Symbol.asyncDispose]())

  it('says so once when the broker goes silent, after two heartbeat intervals', async () => {
    await using proxy = await startTcpProxy(rabbit.port)
    const { session, deaths } = await openSession(`amqp://guest:guest@127.0.0.1:${proxy.port}`, { heartbeatMs: 1000 })
    // An idle session lives on heartbeats alone: several come, each later than the one before.
    for (let heard = 0; heard < 3; heard++) {
      const last = session.lastHeardAt
      await waitFor(() => session.lastHeardAt > last, { what: 'a heartbeat' })
    }
    expect(deaths).toEqual([])
    proxy.blackhole()
    const pending = session.inspect('q')
    await expect(pending).rejects.toThrow(/silent for two heartbeat intervals/)
    expect(deaths).toEqual([expect.any(ConnectionError)])
    expect(deaths[0]).toMatchObject({ fatal: false })
    await session.close()
    expect(deaths.length).toBe(1)
  })

  it('does not take its own standing still for silence of the broker', async () => {
    const { session, deaths } = await openSession(rabbit.url, { heartbeatMs: 1000 })
    const until = performance.now() + 2600
    while (performance.now() < until);
    await expect(session.inspect('no such queue')).rejects.toThrow(/NOT_FOUND/)
    expect(deaths).toEqual([])
    await session.close()
  })

  it('reports a reset, settles every operation, and delivers nothing more', async () => {
    await using proxy = await startTcpProxy(rabbit.port)
    const { session, deaths } = await openSession(`amqp://guest:guest@127.0.0.1:${proxy.port}`)
    const name = (await session.declareQueue(queue(unique('q'), { type: 'classic' }))).name
    await publish(session, [message(name, 'held')])
    const { deliveries, subscription } = await consume(session, name)
    await waitFor(() => deliveries.length === 1, { what: 'the delivery' })
    const pending = [session.inspect(name), session.get(name), consume(session, name), session.purge(name)]
    proxy.cut()
    const results = await Promise.allSettled(pending)
    expect(results.map((r) => r.status === 'rejected' && r.reason)).toEqual(results.map(() => expect.any(ConnectionError)))
    await waitFor(() => deaths.length > 0, { what: 'the death' })
    expect(deliveries[0]?.settle('ack')).toBe(false)
    await subscription.cancel()
    await expect(session.inspect(name)).rejects.toThrow(ConnectionError)
    await session.close()
    expect(deaths.length).toBe(1)
  })

  it('hears that the broker takes no publishes for now', async () => {
    const { session, blocks, deaths } = await openSession(rabbit.url)
    const name = (await session.declareQueue(queue(unique('q'), { type: 'classic' }))).name
    await rabbit.ctl('set_vm_memory_high_watermark', '0.00001')
    // RabbitMQ tells only those who publish.
    const result = publish(session, [message(name)])
    await waitFor(() => blocks.length > 0, { what: 'to be blocked' })
    expect(blocks).toEqual([expect.stringMatching(/^blocked: .*memory/)])
    await rabbit.ctl('set_vm_memory_high_watermark', '0.6')
    expect(await result).toEqual([{ status: 'confirmed', routed: true }])
    await waitFor(() => blocks.length > 1, { what: 'to be unblocked' })
    expect(blocks[1]).toBe('unblocked')
    expect(deaths).toEqual([])
    await session.close()
  })

  it('gives the reason of a broker that is stopped, and dies once when it is killed', async () => {
    const stopped = await openSession(rabbit.url)
    // Known before an orderly stop: a declaration is not on the disk yet when RabbitMQ has answered it.
    const name = (await stopped.session.declareQueue(queue(unique('q'), { type: 'classic' }))).name
    await rabbit.stop()
    await waitFor(() => stopped.deaths.length > 0, { what: 'the death' })
    expect(stopped.deaths).toEqual([
      expect.objectContaining({ fatal: false, message: expect.stringMatching(/CONNECTION_FORCED.*\(320\)/) }),
    ])

    await rabbit.start()
    const killed = await openSession(rabbit.url)
    await publish(killed.session, [message(name, 'kept', { properties: { persistent: true } })])
    await consume(killed.session, name)
    await rabbit.kill()
    await waitFor(() => killed.deaths.length > 0, { what: 'the death' })
    await killed.session.close()
    expect(killed.deaths.length).toBe(1)

    await rabbit.start()
    const { session } = await openSession(rabbit.url)
    const found = await waitFor(() => session.get(name), { what: 'the message to be there again', deadlineMs: 60_000 })
    expect(Buffer.from(found.body).toString()).toBe('kept')
    expect(found.redelivered).toBe(true)
    await session.close()
  }, 120_000)
})
