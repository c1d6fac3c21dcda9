/** What Celery on Redis fails at: after its broker's return a consumer that looks alive must be alive. */
import { type Connection, connect, type ConnectionEvent, queue } from 'omnibus'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { have } from '../support/packages.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { waitFor } from '../support/wait.ts'

const TIMES = 20
const CONSUMERS = 10
/** For each consumer, from the moment Redis answers again. */
const PROBE_MS = 2_000

describe.runIf(have('redis-server'))(`Redis is killed ${TIMES} times under load`, () => {
  let server: RedisServer
  const connections: Connection[] = []
  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(async () => {
    await Promise.all(connections.map((connection) => connection.close({ deadlineMs: 1_000 })))
    await server[Symbol.asyncDispose]()
  })

  test(`and every consumer handles a probe within ${PROBE_MS} ms each time`, { timeout: 120_000 }, async () => {
    const downs: ConnectionEvent[] = []
    const open = (): Connection => {
      const onEvent = (event: ConnectionEvent): void => void (event.type === 'down' && downs.push(event))
      const connection = connect(server.url, { deadlineMs: 60_000, onEvent })
      connections.push(connection)
      return connection
    }
    const publisher = open()
    const consumers = await Promise.all(
      Array.from({ length: CONSUMERS }, async (_, n) => {
        const own = queue(`consumer-${n}`, { type: 'classic' })
        const handled = new Map<string, number>()
        await open().consume(own, async (delivery) => {
          handled.set(String(delivery.payload), performance.now())
          await delivery.ack()
        })
        return { own, handled }
      }),
    )
    let [flowing, confirmed] = [true, 0]
    const load = consumers.map(async ({ own }, n) => {
      for (let i = 0; flowing; i++) {
        await publisher.publish(own, `load-${n}-${i}`)
        confirmed++
      }
    })
    const slowest: number[] = []
    for (let time = 0; time < TIMES; time++) {
      const before = confirmed
      await waitFor(() => confirmed > before + 10 * CONSUMERS, { what: 'messages to flow', deadlineMs: 60_000 })
      await server.kill()
      await server.start()
      const back = performance.now()
      await Promise.all(consumers.map(({ own }) => publisher.publish(own, `probe-${time}`)))
      const probed = (): boolean => consumers.every(({ handled }) => handled.has(`probe-${time}`))
      await waitFor(probed, { what: `every probe after kill ${time + 1}`, deadlineMs: 60_000, everyMs: 5 })
      slowest.push(Math.max(...consumers.map(({ handled }) => handled.get(`probe-${time}`)!)) - back)
    }
    flowing = false
    await Promise.all(load)
    expect(slowest.filter((ms) => ms <= PROBE_MS)).toHaveLength(TIMES)
    expect(downs.length).toBeGreaterThanOrEqual(TIMES)
    // Nothing that was confirmed is missing.
    await waitFor(() => consumers.reduce((sum, { handled }) => sum + handled.size, 0) === confirmed + TIMES * CONSUMERS, {
      what: 'all that was confirmed to be handled',
    })
  })
})
