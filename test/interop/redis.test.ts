/** Kombu at the other end of a Redis, with and without a key prefix: what either side writes the other reads, and what one leaves unacked the other takes. */
import { bind, connect, type Connection, type Delivery, exchange, queue } from 'omnibus'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { have } from '../support/packages.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { waitFor } from '../support/wait.ts'
import { type PythonPeers, type Told, startPeers } from './python-peers.ts'
import { startHolder } from './holder.ts'
import { sent, written } from './messages.ts'
import { unique } from './world.ts'

/** Both sides' visibility timeout. Seconds. */
const VISIBLE_S = 1

describe.runIf(have('redis-server', 'python3-kombu', 'python3-redis', 'python3-pika')).each(['', 'theirs.'])(
  'Kombu on Redis, prefix "%s"',
  (prefix) => {
    let server: RedisServer
    let url: string
    let connection: Connection
    let peers: PythonPeers

    const startMore = (): Promise<PythonPeers> => startPeers(`${server.url}/0`, { global_keyprefix: prefix, visibility_timeout: VISIBLE_S })

    beforeAll(async () => {
      server = await startRedis()
      url = `${server.url}/0?global_keyprefix=${prefix}&visibility_timeout=${VISIBLE_S}`
      connection = connect(url)
      peers = await startMore()
    })
    afterAll(async () => {
      await connection.close({ deadlineMs: 1_000 })
      await peers[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    })

    async function take(name: string, count: number, from = connection): Promise<Delivery[]> {
      const got: Delivery[] = []
      const consumer = await from.consume(queue(name), async (delivery) => {
        got.push(delivery)
        await delivery.ack()
      })
      await waitFor(() => got.length >= count, { what: `${count} deliveries` })
      await consumer.stop()
      return got
    }
    const counts = (...names: string[]): Promise<number[]> =>
      Promise.all(names.map(async (name) => (await connection.inspect(name)).messages))
    const held = async (): Promise<number> => Number(await server.command('HLEN', `${prefix}unacked`))
    /** When the oldest, or with ZREVRANGE the newest, of what is held was taken or renewed. Seconds. */
    const takenAt = async (which: 'ZRANGE' | 'ZREVRANGE'): Promise<number> => {
      const found = (await server.command(which, `${prefix}unacked_index`, '0', '0', 'WITHSCORES')) as unknown[]
      return Number(found.flat()[1])
    }
    const forgotten = async (): Promise<boolean> => (await takenAt('ZREVRANGE')) + VISIBLE_S < Date.now() / 1_000
    const bodies = (told: readonly Told[]): unknown[] => told.map(({ body }) => body)
    const payloads = (deliveries: readonly Delivery[]): unknown[] => deliveries.map(({ payload }) => payload)

    test('writes what we read', async () => {
      const name = unique('formats')
      await peers.ask('kombu', 'publish', { messages: written.map(([, message]) => ({ key: name, ...message, priority: 0 })) })
      const got = await take(name, written.length)
      for (const [i, [what, , payload, properties]] of written.entries()) {
        const { priority: _, ...rest } = properties ?? {}
        expect.soft(got[i]?.payload, what).toEqual(payload)
        expect.soft(got[i]?.properties, what).toMatchObject(rest)
        expect.soft(got[i]?.routingKey, what).toBe(name)
      }
    })

    test('reads what we write', async () => {
      const name = unique('formats')
      await connection.declare(queue(name))
      for (const [, payload, options] of sent) await connection.publish('', name, payload, options)
      const got = await peers.ask<Told[]>('kombu', 'consume', { name, count: sent.length })
      for (const [i, [what, , , told]] of sent.entries()) expect.soft(got[i], what).toMatchObject({ ...told, priority: 0 })
      await waitFor(async () => (await counts(name))[0] === 0 && (await held()) === 0, { what: 'all to be acked' })
    })

    test('sets priorities the other way round, and each takes the most urgent first', async () => {
      const name = unique('urgent')
      const messages = [0, 3, 6, 9, 0].map((priority, n) => ({ key: name, body: n, priority }))
      await peers.ask('kombu', 'publish', { messages })
      expect((await take(name, 5)).map(({ payload, properties }) => [payload, properties.priority])).toEqual([
        [0, undefined],
        [4, undefined],
        [1, 6],
        [2, 3],
        [3, 0],
      ])
      const ours = queue(unique('urgent'), { maxPriority: 9 })
      for (const [n, priority] of [0, 9, 3, 6, 9].entries()) await connection.publish(ours, n, { priority })
      const told = await peers.ask<Told[]>('kombu', 'consume', { name: ours.name, count: 5 })
      expect(told.map(({ body, priority }) => [body, priority])).toEqual([
        [1, 0],
        [4, 0],
        [3, 3],
        [2, 6],
        [0, 9],
      ])
    })

    test('finds our topic bindings, and we find its, by the right rules', async () => {
      const topic = exchange(unique('topic'), { type: 'topic' })
      const theirs = { name: unique('theirs'), exchange: topic.name, type: 'topic' }
      for (const key of ['a.#', 'b.*']) await peers.ask('kombu', 'declare', { ...theirs, key })
      const ours = queue(unique('ours'), { bindings: [bind(topic, 'c-d.*')] })
      await connection.declare(ours)
      // Kombu's own matching misses the first of these, and takes the last.
      for (const key of ['a', 'a.b.c', 'b.c']) await connection.publish(topic, key, key)
      await expect(connection.publish(topic, 'b.c.d', 'none')).rejects.toMatchObject({ reason: 'unroutable' })
      expect(bodies(await peers.ask<Told[]>('kombu', 'consume', { ...theirs, key: 'a.#', count: 3 }))).toEqual(['a', 'a.b.c', 'b.c'])
      await peers.ask('kombu', 'publish', { exchange: topic.name, type: 'topic', messages: [{ key: 'c-d.e', body: 'theirs' }] })
      expect((await take(ours.name, 1)).map((got) => [got.payload, got.exchange, got.routingKey])).toEqual([
        ['theirs', topic.name, 'c-d.e'],
      ])
    })

    test('hears our fanout, and we hear its', async () => {
      const fanout = exchange(unique('fanout'), { type: 'fanout' })
      const ours = queue(unique('ours'), { bindings: [bind(fanout)] })
      const got: unknown[] = []
      const consumer = await connection.consume(ours, async (delivery) => {
        got.push(delivery.payload)
        await delivery.ack()
      })
      const before = Number(await server.command('PUBSUB', 'NUMPAT'))
      const hearing = peers.ask<Told[]>('kombu', 'consume', { name: unique('theirs'), exchange: fanout.name, type: 'fanout', count: 2 })
      await waitFor(async () => Number(await server.command('PUBSUB', 'NUMPAT')) > before, { what: 'Kombu to listen' })
      await connection.publish(fanout, '', 'ours')
      await peers.ask('kombu', 'publish', { exchange: fanout.name, type: 'fanout', messages: [{ key: '', body: 'theirs' }] })
      expect(bodies(await hearing)).toEqual(['ours', 'theirs'])
      await waitFor(() => got.length >= 2, { what: 'both here' })
      await consumer.stop()
      expect(got).toEqual(['ours', 'theirs'])
    })

    test('gives back what we held when we were killed, to its queue alone', async () => {
      const topic = exchange(unique('topic'), { type: 'topic' })
      const [one, other] = ['one', 'other'].map((name) => queue(unique(name), { type: 'classic', bindings: [bind(topic, '#')] }))
      await connection.declare(one!)
      await connection.declare(other!)
      const messages = ['a', 'b', 'c']
      for (const key of messages) await connection.publish(topic, key, key)
      await using killed = startHolder(url, one!.name)
      await waitFor(async () => (await counts(one!.name))[0] === 0 && (await held()) === 3, { what: 'all to be held' })
      // While it lives, its handlers may take longer than Kombu's patience.
      const first = await takenAt('ZRANGE')
      await waitFor(async () => (await takenAt('ZRANGE')) > first + VISIBLE_S, { what: 'its scores to be renewed' })
      killed.signal('SIGKILL')
      await killed.exit()
      await waitFor(forgotten, { what: "Kombu's visibility timeout to be over" })
      const restored = await peers.ask<Told[]>('kombu', 'consume', { name: one!.name, count: 3 })
      expect(new Set(bodies(restored))).toEqual(new Set(messages))
      expect(await counts(one!.name, other!.name)).toEqual([0, 3])
      expect(await held()).toBe(0)
    })

    test('leaves to us what it held when it was killed, also of a topic nobody has declared since', async () => {
      const theirs = { name: unique('theirs'), exchange: unique('topic'), type: 'topic', key: 'a.#' }
      const beside = { ...theirs, name: unique('beside'), key: 'b' }
      for (const declared of [theirs, beside]) await peers.ask('kombu', 'declare', declared)
      await peers.ask('kombu', 'publish', {
        exchange: theirs.exchange,
        type: 'topic',
        messages: [1, 2].map((body) => ({ key: 'a.b', body })),
      })
      await peers.ask('kombu', 'publish', { messages: [{ key: theirs.name, body: 3 }] })
      await using holder = await startMore()
      expect(await holder.ask('kombu', 'hold', { name: theirs.name, count: 3 })).toEqual([1, 2, 3])
      holder.kill()
      await waitFor(forgotten, { what: 'its visibility timeout to be over' })
      const heir = connect(url)
      const got = await take(theirs.name, 3, heir)
      await heir.close()
      expect(new Set(payloads(got))).toEqual(new Set([1, 2, 3]))
      expect(got.map(({ redelivered }) => redelivered)).toEqual([true, true, true])
      await expect(counts(beside.name)).rejects.toThrow('no queue')
      expect(await held()).toBe(0)
    })

    test('has copies in two queues that settle apart, whoever wrote and took them', async () => {
      const topic = exchange(unique('topic'), { type: 'topic' })
      const [one, other] = ['one', 'other'].map((name) => queue(unique(name), { bindings: [bind(topic, '#')] }))
      await connection.declare(one!)
      await connection.declare(other!)
      await connection.publish(topic, 'ours', 'ours')
      await peers.ask('kombu', 'publish', { exchange: topic.name, type: 'topic', messages: [{ key: 'theirs', body: 'theirs' }] })
      // Kombu gives both copies one tag: what we hold of one is not what is acked of the other.
      const kept = [await connection.get(one!), await connection.get(one!)]
      expect(payloads(kept as Delivery[])).toEqual(['ours', 'theirs'])
      expect(bodies(await peers.ask<Told[]>('kombu', 'consume', { name: other!.name, count: 2 }))).toEqual(['ours', 'theirs'])
      expect(await held()).toBe(2)
      for (const delivery of kept) await delivery!.requeue()
      expect(await counts(one!.name, other!.name)).toEqual([2, 0])
      const told = await peers.ask<Told[]>('kombu', 'consume', { name: one!.name, count: 2 })
      expect(new Set(bodies(told))).toEqual(new Set(['ours', 'theirs']))
      expect(await held()).toBe(0)
    })
  },
)
