/** A slow link is no dead one. */
import { connect, type ConnectionEvent, queue } from 'omnibus'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Pace } from '../../src/transports/redis/pace.ts'
import { FakeClock } from '../core/fake-clock.ts'
import { have } from '../support/packages.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { waitFor } from '../support/wait.ts'

describe('what goes at a time', () => {
  /** After ten answers over a link that carries so many bytes a second. */
  async function reached(bytesPerSecond: number, from?: number): Promise<number> {
    const clock = new FakeClock()
    const pace = new Pace(clock, 2_500)
    const carry = (rate: number) =>
      pace.carry(
        async () => clock.pass((pace.bytes / rate) * 1_000),
        () => pace.bytes,
      )
    if (from !== undefined) for (let n = 0; n < 10; n++) await carry(from)
    for (let n = 0; n < 10; n++) await carry(bytesPerSecond)
    return pace.bytes / bytesPerSecond
  }

  test.each([16, 20, 64, 300])('takes two and a half seconds at most over %i KiB/s', async (kibs) => {
    expect(await reached(kibs << 10)).toBeLessThanOrEqual(2.5)
    expect(await reached(kibs << 10)).toBeGreaterThan(1)
  })

  test('is a mebibyte where that is nothing, and less again when it becomes much', async () => {
    expect(await reached(100 << 20)).toBe(0.01)
    expect(await reached(32 << 10, 100 << 20)).toBeLessThanOrEqual(2.5)
  })

  test('does not follow an answer that waited for something else than bytes', async () => {
    const clock = new FakeClock()
    const pace = new Pace(clock, 2_500)
    const before = pace.bytes
    await pace.carry(
      async () => clock.pass(20_000),
      () => 100,
    )
    expect(pace.bytes).toBe(before)
  })
})

describe.runIf(have('redis-server'))('a link that carries in a heartbeat what 16 KiB/s do in the usual one', () => {
  const [heartbeatMs, bytesPerSecond] = [1_000, 160 << 10]
  /** More than it carries in three. */
  const COUNT = 110
  let server: RedisServer
  beforeAll(async () => {
    server = await startRedis(['--save', ''])
  })
  afterAll(() => server[Symbol.asyncDispose]())

  test('is not taken for dead while it is full, either way', { timeout: 60_000 }, async () => {
    await using proxy = await startTcpProxy(server.port)
    const downs: string[] = []
    const onEvent = (event: ConnectionEvent): void => void (event.type === 'down' && downs.push(event.error.message))
    const options = { heartbeatMs, deadlineMs: 60_000, onEvent }
    await using publishing = connect(`redis://127.0.0.1:${proxy.port}`, options)
    await using consuming = connect(`redis://127.0.0.1:${proxy.port}`, options)
    const target = queue('slow', { type: 'classic' })
    await publishing.declare(target)
    proxy.slow(bytesPerSecond)
    const body = Buffer.alloc(4 << 10, 'x')
    await Promise.all(Array.from({ length: COUNT }, () => publishing.publish(target, body)))
    let handled = 0
    await consuming.consume(
      target,
      async (delivery) => {
        handled++
        await delivery.ack()
      },
      { prefetch: 0 },
    )
    await waitFor(() => handled === COUNT, { what: 'all to be handled', deadlineMs: 50_000 })
    expect(downs).toEqual([])
  })
})
