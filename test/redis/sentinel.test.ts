/** Sentinels: the master is found, and the one that follows it. OMNIBUS_FAULTS=long kills five in turn. */
import { connect, type ConnectionOptions, queue } from 'omnibus'
import { describe, expect, onTestFinished, test } from 'vitest'
import { have } from '../support/packages.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { waitFor } from '../support/wait.ts'

const KILLS = process.env['OMNIBUS_FAULTS'] === 'long' ? 5 : 1
const CONSUMERS = 10
/** For each consumer, from the moment another is the master. */
const PROBE_MS = 5_000

async function start(settings: readonly string[], config?: string): Promise<RedisServer> {
  const server = await startRedis(settings, config)
  onTestFinished(() => server[Symbol.asyncDispose]())
  return server
}

async function refusalOf(url: string, options: ConnectionOptions = {}): Promise<Error> {
  const connection = connect(url, options)
  const error: unknown = await connection.ready({ deadlineMs: 2_000 }).catch((reason: unknown) => reason)
  await connection.close()
  return error as Error
}

describe.runIf(have('redis-server'))('behind a Sentinel', { timeout: 180_000 }, () => {
  test(`every consumer handles a probe after its master was killed, ${KILLS} times`, async () => {
    const servers = [await start(['--save', '']), await start(['--save', ''])] as const
    const config = [`monitor video 127.0.0.1 ${servers[0].port} 1`, 'down-after-milliseconds video 500', 'failover-timeout video 2000']
    await servers[1].command('REPLICAOF', '127.0.0.1', String(servers[0].port))
    const sentinel = await start(['--sentinel'], config.map((line) => `sentinel ${line}`).join('\n'))
    const url = (master: string): string => `sentinel://127.0.0.1:${sentinel.port}/0?master_name=${master}`
    expect((await refusalOf(url('audio'))).message).toMatch(/knows no master "audio"/)
    expect((await refusalOf(sentinel.url)).message).toMatch(/it is a Sentinel/)

    await using publisher = connect(url('video'), { deadlineMs: 60_000 })
    const consumers = await Promise.all(
      Array.from({ length: CONSUMERS }, async (_, n) => {
        const connection = connect(url('video'), { deadlineMs: 60_000 })
        onTestFinished(() => connection.close({ deadlineMs: 1_000 }))
        const own = queue(`consumer-${n}`, { type: 'classic' })
        const handled = new Map<unknown, number>()
        await connection.consume(own, async (delivery) => {
          handled.set(delivery.payload, performance.now())
          await delivery.ack()
        })
        return { own, handled }
      }),
    )
    const slowest: number[] = []
    for (let time = 0; time < KILLS; time++) {
      const [master, replica] = time % 2 === 0 ? servers : servers.toReversed()
      // After a failover it looks at the replica anew only every ten seconds, and until then would not promote it.
      const seen = time === 0 ? [String(replica!.port)] : [`"master-port":"${master!.port}"`, '"master-link-status":"ok"']
      const follows = async (): Promise<boolean> => {
        const told = JSON.stringify(await sentinel.command('SENTINEL', 'REPLICAS', 'video'))
        const linked = String(await replica!.command('INFO', 'replication')).includes('master_link_status:up')
        return linked && seen.every((text) => told.includes(text)) && !told.includes('_down')
      }
      await waitFor(follows, { what: 'the Sentinel to know a replica that is up', deadlineMs: 60_000 })
      await waitFor(async () => (await replica!.command('HLEN', '_omnibus.queues')) === CONSUMERS, { what: 'it to have all queues' })
      await master!.kill()
      const promoted = async (): Promise<number | false> =>
        String(await replica!.command('INFO', 'replication')).includes('role:master') && performance.now()
      const [at] = await Promise.all([
        waitFor(promoted, { what: 'the replica to follow', deadlineMs: 60_000, everyMs: 10 }),
        ...consumers.map(({ own }) => publisher.publish(own, time)),
      ])
      await waitFor(() => consumers.every(({ handled }) => handled.has(time)), { what: `probe ${time}`, deadlineMs: 60_000, everyMs: 5 })
      slowest.push(Math.max(...consumers.map(({ handled }) => handled.get(time)!)) - at)
      await master!.start()
      await master!.command('REPLICAOF', '127.0.0.1', String(replica!.port))
    }
    expect(slowest.filter((ms) => ms <= PROBE_MS)).toHaveLength(KILLS)
  })
})
