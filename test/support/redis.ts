/** A private Redis for tests and benchmarks: Debian's package on a port and in a folder of its own. Installs it when that is allowed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from 'redis'
import { ensurePackages, fileOf, have } from './packages.ts'
import { freePort } from './ports.ts'
import { killMarked, MARK } from './processes.ts'
import { runName, tempDir } from './run-folder.ts'
import { waitFor } from './wait.ts'

export interface RedisServer {
  readonly url: string
  readonly port: number
  /** Starts it again after `stop` or `kill`, with the same data and port. */
  start(): Promise<void>
  /** Ends it in an orderly way and keeps its data. */
  stop(): Promise<void>
  /** SIGKILL; what it had written stays. */
  kill(): Promise<void>
  /** One command, as an administrator. */
  command(...args: string[]): Promise<unknown>
  /** Ends it for good and removes its data. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Settings of tests: nothing is lost by a kill. */
export const SAFE: readonly string[] = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '', '--maxmemory-policy', 'noeviction']

/**
 * Starts a private Redis of one's own, to be killed at will; `settings` as on its command line, behind those of a config file if that is
 * given. Dispose of it in `afterAll`.
 */
export async function startRedis(settings: readonly string[] = SAFE, config?: string): Promise<RedisServer> {
  const { why } = await ensurePackages(['redis-server'])
  if (!have('redis-server')) throw new Error(`no Redis to start: ${why}`)
  const port = await freePort()
  const folder = tempDir('redis')
  const mark = `${runName()}/${randomUUID()}`
  const remove = (): void => {
    killMarked(mark)
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  process.once('exit', remove)
  let server: ChildProcess | undefined
  const command = async (...args: string[]): Promise<unknown> => {
    const client = createClient({ socket: { host: '127.0.0.1', port, reconnectStrategy: false } })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return await client.sendCommand(args)
    } finally {
      client.destroy()
    }
  }
  const start = async (): Promise<void> => {
    const file = config === undefined ? [] : [join(folder, 'redis.conf')]
    for (const path of file) writeFileSync(path, config ?? '')
    const child = spawn(fileOf('redis-server'), [...file, '--port', String(port), '--bind', '127.0.0.1', '--dir', folder, ...settings], {
      env: { PATH: process.env['PATH'], LANG: 'C.UTF-8', [MARK]: mark },
      stdio: 'ignore',
    })
    server = child
    await waitFor(
      async () => {
        if (child.exitCode !== null) throw new Error(`Redis ended with ${child.exitCode}`)
        return (await command('PING')) === 'PONG'
      },
      { what: `Redis to answer on port ${port}` },
    )
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (!server || server.exitCode !== null || server.signalCode !== null) return
    const exited = once(server, 'exit')
    server.kill(signal)
    await exited
  }
  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    start,
    command,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    async [Symbol.asyncDispose]() {
      await end('SIGKILL')
      process.removeListener('exit', remove)
      remove()
    },
  }
}

/** What a user must be allowed, who may do all that the transport can; docs/transports.md says the same. */
export const RIGHTS =
  '~* &* -@all +hello +client|setname +client|tracking +client|caching +select +evalsha +script|load +script|exists +subscribe +psubscribe +publish +time ' +
  '+del +exists +get +set +hdel +hget +hkeys +hlen +hset +hsetnx +hvals +lindex +llen +lpush +lset +rpop +rpush +sadd +sismember +smembers ' +
  '+spop +srem +zadd +zcard +zrange +zrangebyscore +zrem +zscan +zscore'

/** The same server as a user who has no more than these rights. */
export async function leastRights(url: string): Promise<string> {
  const client = createClient({ url })
  client.on('error', () => undefined)
  await client.connect()
  await client.sendCommand(['ACL', 'SETUSER', 'least', 'on', '>least', ...RIGHTS.split(' ')])
  client.destroy()
  const least = new URL(url)
  least.username = 'least'
  least.password = 'least'
  return least.href
}
