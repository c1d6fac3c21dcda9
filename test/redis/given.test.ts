/** Redis by a client that a program has already: what the client says of its server holds, and the client is left alone. */
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Cluster, Redis } from 'ioredis'
import { type Broker, connect, type ConnectionEvent, createBus, queue } from 'omnibus'
import { type RedisClient, redisWith } from 'omnibus/redis'
import { createClient, createCluster, createSentinel } from 'redis'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { omnibus, root, userFolder } from '../support/omnibus.ts'
import { have } from '../support/packages.ts'
import { freePort } from '../support/ports.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startRedisCluster } from '../support/redis-cluster.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'

const certificate = (name: string): string => fileURLToPath(new URL(`../amqp/certificates/localhost.${name}.pem`, import.meta.url))

const target = queue('given', { type: 'classic' })

/** An ioredis of a user, who ends it. */
function io(options: object): Redis {
  const client = new Redis({ lazyConnect: true, ...options })
  client.on('error', () => undefined)
  onTestFinished(() => client.disconnect())
  return client
}

/** A message there and back. */
async function exchanged(broker: Broker, text: string): Promise<void> {
  await using connection = connect(broker, { deadlineMs: 60_000, clearText: 'refuse' })
  const handled: unknown[] = []
  await connection.consume(target, async (delivery) => {
    handled.push(delivery.payload)
    await delivery.ack()
  })
  await connection.publish(target, text)
  await waitFor(() => handled.includes(text), { what: 'the message' })
}

describe.runIf(have('redis-server'))('a client', { timeout: 60_000 }, () => {
  let server: RedisServer
  let tlsPort: number
  const path = join(tempDir('redis-given'), 'socket')
  beforeAll(async () => {
    tlsPort = await freePort()
    const tls = ['--tls-port', String(tlsPort), '--tls-cert-file', certificate('cert'), '--tls-key-file', certificate('key')]
    const more = ['--tls-ca-cert-file', certificate('cert'), '--tls-auth-clients', 'no', '--unixsocket', path]
    server = await startRedis(['--save', '', ...tls, ...more])
    await server.command('ACL', 'SETUSER', 'own', 'on', '>secret', '~app:*', '&app:*', '&__redis__:invalidate', '+@all')
    await server.command('ACL', 'SETUSER', 'deaf', 'on', '>secret', '~app:*', '&app:*', '+@all')
    await server.command('ACL', 'SETUSER', 'default', '>secret', 'resetpass', '>secret')
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const own = { username: 'own', password: 'secret' }
  const ca = readFileSync(certificate('cert'))
  test.each<[string, () => RedisClient]>([
    ['of ioredis', () => io({ ...own, port: server.port, db: 2, keyPrefix: 'app:' })],
    ['of ioredis with TLS', () => io({ ...own, host: 'localhost', port: tlsPort, tls: { ca }, db: 2, keyPrefix: 'app:' })],
    ['of ioredis on a socket', () => io({ ...own, path, db: 2, keyPrefix: 'app:' })],
    [
      'of ioredis that changes commands and answers',
      () =>
        io({
          ...own,
          port: server.port,
          db: 2,
          keyPrefix: 'app:',
          enableAutoPipelining: true,
          stringNumbers: true,
          replyMapping: 'resp3',
          commandTimeout: 1,
          socketTimeout: 1,
        }),
    ],
    ["of npm's redis", () => createClient({ ...own, socket: { port: server.port }, database: 2, keyPrefix: 'app:' })],
    [
      "of npm's redis with TLS",
      () => createClient({ ...own, socket: { host: 'localhost', port: tlsPort, tls: true, ca }, database: 2, keyPrefix: 'app:' }),
    ],
    ["of npm's redis with a URL", () => createClient({ url: `redis://own:secret@127.0.0.1:${server.port}/2`, keyPrefix: 'app:' })],
  ])('%s leads to its server, as its user, into its database, under its prefix', async (_, client) => {
    await exchanged(redisWith(client()), 'there')
    const admin = io({ password: 'secret', port: server.port, db: 2 })
    expect(await admin.hexists('app:_omnibus.queues', target.name)).toBe(1)
    await admin.flushdb()
  })

  test('is neither used nor closed, and its end ends nothing; in whatever mode it is', async () => {
    const client = io({ port: server.port, password: 'secret' })
    await client.subscribe('news')
    const heard = new Promise((resolve) => client.once('message', (_, text) => resolve(text)))
    await using bus = createBus({ broker: redisWith(client, { global_keyprefix: 'left:', lease_seconds: 10 }) })
    await bus.ready()
    const admin = io({ port: server.port, password: 'secret' })
    await admin.publish('news', 'still')
    expect(await heard).toBe('still')
    client.disconnect()
    await exchanged(redisWith(io({ port: server.port, password: 'secret' }), { global_keyprefix: 'left:' }), 'on')
    expect(bus.connected).toBe(true)
  })

  test('of a user who may not be told of keys finds what Kombu brings, and says why that takes longer', async () => {
    const warnings: string[] = []
    const onEvent = (event: ConnectionEvent): void => void (event.type === 'warning' && warnings.push(event.reason))
    const broker = redisWith(io({ ...own, username: 'deaf', port: server.port, keyPrefix: 'app:' }), { polling_interval: 0.05 })
    await using connection = connect(broker, { onEvent })
    const handled: unknown[] = []
    await connection.consume(target, async (delivery) => {
      handled.push(delivery.payload)
      await delivery.ack()
    })
    const admin = io({ password: 'secret', port: server.port })
    const info = { delivery_tag: 't', delivery_info: { exchange: '', routing_key: target.name } }
    await admin.lpush(`app:${target.name}`, JSON.stringify({ body: '7', 'content-type': 'application/json', properties: info }))
    await waitFor(() => handled.length > 0, { what: "Kombu's message" })
    expect(handled).toEqual([7])
    expect(warnings.filter((text) => text.includes('__redis__:invalidate'))).toHaveLength(1)
    await admin.flushdb()
  })

  test('with credentials beside it: those are used', async () => {
    for (const client of [
      io({ port: server.port, password: 'wrong' }),
      createClient({ password: 'wrong', socket: { port: server.port } }),
    ]) {
      const credentials = () => ({ username: 'default', password: 'secret' })
      await using connection = connect(redisWith(client), { credentials })
      await connection.ready()
      await using without = connect(redisWith(client))
      await expect(without.ready()).rejects.toThrow(/user name or the password is wrong/)
    }
  })

  test('that gets no answer is given up, and the server found when it is back', async () => {
    await using lost = await startRedis()
    const broker = redisWith(io({ port: lost.port }))
    await using connection = connect(broker, { deadlineMs: 60_000, backoff: { minMs: 50, maxMs: 200 } })
    const handled = new Set<unknown>()
    await connection.consume(target, async (delivery) => {
      handled.add(delivery.payload)
      await delivery.ack()
    })
    for (let time = 0; time < 3; time++) {
      await lost.kill()
      const published = connection.publish(target, time)
      await lost.start()
      await published
      await waitFor(() => handled.has(time), { what: `message ${time}` })
    }
  })
})

const ENTRIES = {
  'contracts.ts': `import { event, queue } from 'omnibus'
export const Asked = event('given.asked.v1')
export const asked = queue('given.asked', { listensTo: [Asked] })`,
  'web.ts': `import { Redis } from 'ioredis'
import { createBus } from 'omnibus'
import { redisWith } from 'omnibus/redis'
import { asked, Asked } from './contracts.ts'
const bus = createBus({ broker: redisWith(new Redis(process.env.BUS_URL)), declares: [asked] })
export default async (request, response) => response.end(String((await bus.publish(Asked, {})).routed))`,
  'work.ts': `import { consume, on } from 'omnibus'
import { Asked, asked } from './contracts.ts'
export default consume(asked, {}, on(Asked, () => console.log('handled')))`,
}

test.runIf(have('redis-server'))('under the supervisor it is flushed and closed as any other', { timeout: 60_000 }, async () => {
  await using server = await startRedis(['--save', ''])
  const folder = userFolder('redis-given')
  symlinkSync(join(root, 'node_modules', 'ioredis'), join(folder, 'node_modules', 'ioredis'))
  for (const [name, text] of Object.entries(ENTRIES)) writeFileSync(join(folder, name), text)
  const config = `export default { bus: { url: process.env.BUS_URL }, web: { entry: './web.ts', bind: '127.0.0.1:${await freePort()}' }, consumers: { work: { entry: './work.ts' } } }`
  writeFileSync(join(folder, 'omnibus.config.ts'), config)
  await using master = omnibus(['serve'], { cwd: folder, env: { OMNIBUS_LOG: 'json', BUS_URL: server.url } })
  const { url } = JSON.parse(await master.line('"url":')) as { url: string }
  expect(await (await fetch(url)).text()).toBe('true')
  await master.line('handled')
  master.signal('SIGTERM')
  expect(await master.exit()).toEqual({ code: 0, signal: null })
})

describe.runIf(have('redis-server'))('a client of several servers', { timeout: 90_000 }, () => {
  const start = async (settings: readonly string[], config?: string): Promise<RedisServer> => {
    const server = await startRedis(['--save', '', ...settings], config)
    onTestFinished(() => server[Symbol.asyncDispose]())
    return server
  }

  test('of ioredis and its Sentinels leads to the master, and to the one that follows it', async () => {
    const [first, second] = [await start([]), await start([])]
    await second.command('REPLICAOF', '127.0.0.1', String(first.port))
    const config = [`monitor video 127.0.0.1 ${first.port} 1`, 'down-after-milliseconds video 500', 'failover-timeout video 2000']
    const sentinel = await start(['--sentinel'], config.map((line) => `sentinel ${line}`).join('\n'))
    const broker = redisWith(io({ sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: 'video' }))
    await exchanged(broker, 'before')
    await waitFor(async () => JSON.stringify(await sentinel.command('SENTINEL', 'REPLICAS', 'video')).includes(String(second.port)), {
      what: 'the Sentinel to know the replica',
    })
    await first.kill()
    await exchanged(broker, 'after')
    expect(await second.command('HEXISTS', '_omnibus.queues', target.name)).toBe(1)
    const stranger = connect(redisWith(io({ sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: 'audio' })))
    await expect(stranger.ready({ deadlineMs: 3_000 })).rejects.toThrow(/Sentinel/i)
    await stranger.close()
  })

  test('of ioredis for a cluster leads to the node with the keys', async () => {
    await using servers = await startRedisCluster(2)
    const [, other] = servers.nodes
    const cluster = new Cluster([{ host: '127.0.0.1', port: other!.port }])
    onTestFinished(() => cluster.disconnect())
    const broker = redisWith(cluster, { global_keyprefix: '{t}.' })
    await exchanged(broker, 'a')
    // By the node that has not the keys, too.
    await exchanged(redisWith(io({ port: other!.port, keyPrefix: '{t}.' })), 'b')
    await exchanged(redisWith(createClient({ socket: { port: other!.port } }), { global_keyprefix: '{t}.' }), 'c')
    const without = connect(redisWith(cluster))
    await expect(without.ready()).rejects.toThrow(/hash tag/)
    await without.close()
  })
})

describe('what cannot be given', () => {
  const closed = (): Redis => {
    const client = io({})
    client.disconnect()
    return client
  }
  test.each<[string, () => unknown, string]>([
    [
      'a URL',
      () => redisWith('redis://localhost' as never),
      `client: expected a client of ioredis, or one that createClient() of npm's redis`,
    ],
    ['nothing', () => redisWith(undefined as never), 'got nothing'],
    ['options, whose password is not repeated', () => redisWith({ password: 'secret' } as never), 'got another object'],
    ['a closed client', () => redisWith(closed()), 'one that was closed'],
    ["npm's cluster", () => redisWith(createCluster({ rootNodes: [] }) as never), 'one of several servers, for which there are URLs'],
    ["npm's Sentinels", () => redisWith(createSentinel({ name: 'n', sentinelRootNodes: [{ host: 'h', port: 1 }] }) as never), 'of several'],
    ['an unknown parameter', () => redisWith(io({}), { lease_secs: 3 } as never), 'parameters.lease_secs: expected "lease_seconds"'],
    ['a parameter of no use', () => redisWith(io({}), { lease_seconds: 0 }), 'lease_seconds: expected a number'],
    [
      'two prefixes',
      () => redisWith(io({ keyPrefix: 'a:' }), { global_keyprefix: 'b:' }),
      `expected "a:", the client's keyPrefix, or nothing, got "b:"`,
    ],
    ['a client as a broker', () => connect(io({}) as never), 'expected what redisWith() of omnibus/redis returns'],
    ['a URL beside it', () => createBus({ url: 'memory:x', broker: redisWith(io({})) }), 'url: expected nothing beside broker'],
  ])('%s', (_, give, text) => {
    expect(give).toThrow(text)
    expect(give).not.toThrow(/secret/)
  })
})
