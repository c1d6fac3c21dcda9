/** Sentinels: the server that has our keys is found, and found again. */
import { describe, expect, it, onTestFinished } from 'vitest'
import { Subject } from '../../src/testing/conformance/subject.ts'
import { createRedisTransport } from '../../src/transports/redis/index.ts'
import { have } from '../support/packages.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { waitFor } from '../support/wait.ts'

async function start(settings: readonly string[], config?: string): Promise<RedisServer> {
  const server = await startRedis(settings, config)
  onTestFinished(() => server[Symbol.asyncDispose]())
  return server
}

/** Uses what is at a URL. Cleaned up before its servers end. */
function subjectAt(url: string): Subject {
  const subject = new Subject({ transport: createRedisTransport(), url: new URL(url), queueType: 'classic' })
  onTestFinished(() => subject.cleanUp())
  return subject
}

describe.runIf(have('redis-server'))('a session', () => {
  it('asks a Sentinel for the master, and the one that follows it', async () => {
    const [first, second] = [await start(['--save', '']), await start(['--save', ''])]
    const config = [
      `sentinel monitor video 127.0.0.1 ${first.port} 1`,
      'sentinel down-after-milliseconds video 500',
      'sentinel failover-timeout video 2000',
    ]
    await second.command('REPLICAOF', '127.0.0.1', String(first.port))
    const sentinel = await start(['--sentinel'], config.join('\n'))
    const url = (master: string): string => `sentinel://127.0.0.1:${sentinel.port}/0?master_name=${master}`
    await expect(createOn(url('audio'))).rejects.toThrow(/knows no master "audio"/)
    await expect(createOn(sentinel.url)).rejects.toThrow(/it is a Sentinel/)
    const subject = subjectAt(url('video'))
    const { connection } = subject.connect()
    const target = subject.queue()
    await connection.publish(target, 'before')
    await waitFor(async () => JSON.stringify(await sentinel.command('SENTINEL', 'REPLICAS', 'video')).includes(String(second.port)), {
      what: 'the Sentinel to know the replica',
    })
    await waitFor(async () => (await second.command('EXISTS', target.name)) === 1, { what: 'the replica to have it' })
    await first.kill()
    await connection.publish(target, 'after', { deadlineMs: 60_000 })
    expect(await second.command('LLEN', target.name)).toBe(2)
  })
})

async function createOn(url: string): Promise<unknown> {
  const handlers = { died() {}, blocked() {}, unblocked() {} }
  const signal = new AbortController().signal
  const options = { url: new URL(url), name: 'servers test', connectTimeoutMs: 10_000, heartbeatMs: 0, signal, handlers }
  return (await createRedisTransport().open(options)).close()
}
