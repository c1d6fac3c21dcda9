/** Bodies beyond what Redis lets a listener read at once. */
import { createHash } from 'node:crypto'
import { Redis } from 'ioredis'
import { bind, connect, type Connection, type ConnectionEvent, exchange, type Exchange, queue } from 'omnibus'
import { redisWith } from 'omnibus/redis'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { have } from '../support/packages.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { waitFor } from '../support/wait.ts'

const MIB = 1 << 20
const hashOf = (body: unknown): string =>
  createHash('sha1')
    .update(body as Buffer)
    .digest('hex')

describe.runIf(have('redis-server'))('a large body', { timeout: 120_000 }, () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await startRedis(['--save', ''])
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const warnings: string[] = []
  const onEvent = (event: ConnectionEvent): void => {
    if (event.type === 'warning' && event.reason.includes('bytes to')) warnings.push(event.reason)
    expect(event.type === 'down' && event.error).toBe(false)
  }
  /** What a consumer of a queue has acked, as hashes. */
  async function hashes(connection: Connection, name: string): Promise<string[]> {
    const found: string[] = []
    await connection.consume(queue(name, { type: 'classic' }), async (delivery) => {
      found.push(hashOf(delivery.body))
      await delivery.ack()
    })
    return found
  }

  test('of 64 MiB there and back', async () => {
    await using connection = connect(server.url, { deadlineMs: 60_000, onEvent, maxBodyBytes: 128 * MIB })
    const body = Buffer.alloc(64 * MIB, 'abcdefg')
    await connection.publish(queue('large', { type: 'classic' }), body)
    const found = await hashes(connection, 'large')
    await waitFor(() => found.length > 0, { what: 'it', deadlineMs: 60_000 })
    expect(found).toEqual([hashOf(body)])
  })

  test("goes by every exchange, through the dead letters too, and not where Redis would cut off Kombu's listeners", async () => {
    // Instead of 32 MB.
    await using small = await startRedis(['--save', '', '--client-output-buffer-limit', 'pubsub 6mb 6mb 60'])
    await using connection = connect(redisWith(new Redis(small.port, { lazyConnect: true })), { deadlineMs: 60_000, onEvent })
    const types = ['direct', 'topic', 'headers', 'fanout'] as const
    const exchanges = types.map((type) => exchange(`large.${type}`, { type }))
    const bound = (to: Exchange) => queue(`of.${to.name}`, { type: 'classic', bindings: [bind(to, 'k')] })
    for (const each of exchanges) await connection.declare(bound(each))
    const found = await Promise.all(exchanges.map((each) => hashes(connection, `of.${each.name}`)))
    const kombus = createClient({ url: small.url })
    onTestFinished(() => kombus.destroy())
    const cut: unknown[] = []
    kombus.on('error', (error) => cut.push(error))
    await kombus.connect()
    const said: number[] = []
    await kombus.subscribe('/0.large.fanout/k', (text) => void said.push(text.length))
    const body = Buffer.alloc(8 * MIB, 'z')
    const dies = queue('dies', { type: 'classic', deadLetterExchange: exchanges[0]!, deadLetterRoutingKey: 'k' })
    await connection.publish(dies, body)
    await (await connection.get(dies))?.reject()
    for (const each of exchanges) await connection.publish(each, 'k', body)
    await connection.publish('large.fanout', 'k', Buffer.from('small'))
    await waitFor(() => found[0]!.length === 2 && found.every((each) => each.length > 0) && found[3]!.length === 2 && said.length > 0, {
      what: 'all of them',
    })
    const hash = hashOf(body)
    expect(found).toEqual([[hash, hash], [hash], [hash], [hash, hashOf(Buffer.from('small'))]])
    expect([said.length, cut]).toEqual([1, []])
    expect(warnings).toEqual([expect.stringMatching(/\d{8} bytes to fanout exchange "large.fanout".*client-output-buffer-limit pubsub/)])
  })

  test('that Redis cannot take is refused by name', async () => {
    await using connection = connect(server.url, { onEvent, maxBodyBytes: 600 * MIB })
    await expect(connection.publish(queue('too-large', { type: 'classic' }), Buffer.alloc(381_000_000))).rejects.toThrow(
      /381000000 bytes is more than the 380000000/,
    )
  })
})
