/** A cluster whose keys move to another node, and whose nodes go away: named, and nothing is gone. */
import { setTimeout as pause } from 'node:timers/promises'
import { connect, type Connection, type ConnectionEvent, type ConnectionOptions, queue } from 'omnibus'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { have } from '../support/packages.ts'
import type { RedisServer } from '../support/redis.ts'
import { type RedisCluster, startRedisCluster } from '../support/redis-cluster.ts'
import { waitFor } from '../support/wait.ts'

describe.runIf(have('redis-server'))('in a cluster', { timeout: 120_000 }, () => {
  let cluster: RedisCluster
  beforeAll(async () => {
    cluster = await startRedisCluster(3)
  })
  afterAll(() => cluster[Symbol.asyncDispose]())

  const downs: string[] = []
  const onEvent = (event: ConnectionEvent): void => void (event.type === 'down' && downs.push(event.error.message))
  const options: ConnectionOptions = { deadlineMs: 60_000, backoff: { minMs: 20, maxMs: 200 }, onEvent }
  const urlOf = (...ports: readonly number[]) => `redis://${ports.map((port) => `127.0.0.1:${port}`).join(',')}?global_keyprefix={keys}.`
  const hosts = (): string => urlOf(...cluster.nodes.map(({ port }) => port))
  const dead = queue('dead', { type: 'classic' })
  const work = queue('work', { type: 'classic', deadLetterExchange: '', deadLetterRoutingKey: dead.name })

  interface Flow {
    /** Publishes nothing until what this resolves with is called. */
    hold(): Promise<() => void>
    /** Resolves when it has gone on for a while, and all that was confirmed was handled. */
    end(): Promise<void>
  }

  /** Publishes, and lets every fourth message come again first, every fifth die. */
  async function flow(connection: Connection): Promise<Flow> {
    const [confirmed, handled, requeued] = [new Set<unknown>(), new Set<unknown>(), new Set<unknown>()]
    await connection.declare(dead)
    await connection.consume(dead, async (delivery) => {
      handled.add(delivery.payload)
      await delivery.ack()
    })
    await connection.consume(
      work,
      async (delivery) => {
        const n = delivery.payload as number
        if (n % 5 === 0) await delivery.reject()
        else if (n % 4 === 0 && !requeued.has(n)) {
          requeued.add(n)
          await delivery.requeue()
        } else {
          handled.add(n)
          await delivery.ack()
        }
      },
      { prefetch: 20 },
    )
    let flowing = true
    let gate: Promise<void> | undefined
    let batch: Promise<unknown> = Promise.resolve()
    const publishing = (async () => {
      for (let n = 1; flowing; n += 10) {
        await gate
        const numbers = Array.from({ length: 10 }, (_, i) => n + i)
        batch = Promise.all(numbers.map((each) => connection.publish(work, each).then(() => confirmed.add(each))))
        await batch
        await pause(2)
      }
    })()
    // Where the test fails before its end.
    publishing.catch(() => undefined)
    await waitFor(() => handled.size > 100, { what: 'messages to flow' })
    const hold = async (): Promise<() => void> => {
      const { promise, resolve } = Promise.withResolvers<void>()
      gate = promise
      await batch
      return resolve
    }
    const end = async (): Promise<void> => {
      const before = handled.size
      await waitFor(() => handled.size > before + 100, { what: 'messages to flow again', deadlineMs: 60_000 })
      flowing = false
      await publishing
      const missing = (): unknown[] => [...confirmed].filter((each) => !handled.has(each))
      await waitFor(() => missing().length === 0, { what: 'all that was confirmed to be handled' }).catch((error: unknown) => {
        throw new Error(`${missing().length} of ${confirmed.size} are missing: ${missing().slice(0, 20).join(', ')}`, { cause: error })
      })
    }
    return { hold, end }
  }

  test('the node with the keys is found by any other, and they need one hash tag', async () => {
    const [, second] = cluster.nodes
    await using connection = connect(urlOf(second!.port), options)
    await connection.publish(work, 0)
    const taken = await connection.get(work)
    expect(taken?.payload).toBe(0)
    await taken?.ack()
    await using without = connect(second!.url)
    await expect(without.ready()).rejects.toThrow(/hash tag/)
  })

  test('keys that move while messages flow: what is refused meanwhile is named, and all of it is there afterwards', async () => {
    const [first, second] = cluster.nodes
    await using connection = connect(hosts(), options)
    const flowing = await flow(connection)
    downs.length = 0
    for (let time = 0; time < 5; time++) {
      const from = await cluster.holder('keys')
      const to = from === first ? second! : first!
      await cluster.moveSlot('keys', from, to, () => pause(10))
    }
    await flowing.end()
    expect(downs.length).toBeGreaterThan(0)
    expect(downs.filter((text) => !/keys are moving to another node|keys lie on another node/.test(text))).toEqual([])
  })

  test('a node that dies, and its replica in its place', async () => {
    const [third, second] = [cluster.nodes[2], await cluster.holder('keys')]
    await cluster.replicate(third!, second)
    await using connection = connect(hosts(), options)
    const flowing = await flow(connection)
    // What it has confirmed and not yet told its replica would be gone with it.
    const goOn = await flowing.hold()
    const offsetOf = async (node: RedisServer, what: string): Promise<number> =>
      Number(new RegExp(`${what}:(\\d+)`).exec(String(await node.command('INFO', 'replication')))?.[1])
    const written = await offsetOf(second, 'master_repl_offset')
    await waitFor(async () => (await offsetOf(third!, 'slave_repl_offset')) >= written, { what: 'the replica to have all of it' })
    await second.kill()
    goOn()
    // Without a majority of masters nobody is elected; an administrator decides.
    await third!.command('CLUSTER', 'FAILOVER', 'TAKEOVER')
    await flowing.end()
    expect(await third!.command('EXISTS', '{keys}._omnibus.queues')).toBe(1)
  })
})
