/** A broker that may be killed, stopped, cut off and filled. */
import { connect, queue } from '../../src/index.ts'
import { startBroker as startHere } from '../../src/broker/index.ts'
import { startBroker } from '../support/broker.ts'
import { have } from '../support/packages.ts'
import { hasOwnRabbit, startRabbit } from '../support/rabbitmq.ts'
import { SAFE, startRedis } from '../support/redis.ts'
import { tempDir } from '../support/run-folder.ts'
import { startSqs } from '../support/sqs.ts'
import { waitFor } from '../support/wait.ts'
import { type Counting, countBuiltin, countRabbit, countRedis } from './counted.ts'

/** All that faults of clients need of it. */
export interface Reachable {
  readonly url: string
  /** Larger bodies it does not take. @default any */
  readonly maxBodyBytes?: number
  /** How long it lends a message, at `hasty` if there is one; absent where a connection's end is known at once. Milliseconds. */
  readonly leaseMs?: number
  /** It refuses headers by itself that nobody could read. */
  readonly readsHeaders?: true
}

export interface Victim extends Reachable, AsyncDisposable {
  readonly port: number
  /** The same where leases are short; absent where a connection's end is known at once. */
  readonly hasty?: string
  /** How often the long form ends it; RabbitMQ takes ten seconds and more to come back. */
  readonly restarts: number
  /** SIGKILL. */
  kill(): Promise<void>
  /** Ends it in an orderly way. */
  stop(): Promise<void>
  start(): Promise<void>
  /** A broker that can be made to block publishers, itself or another; absent where it answers at once instead. */
  alarm?(): Promise<Alarm>
  /** Connections of each link that consumes. @default 1 */
  readonly toConsume?: number
  /** Counts its clients until disposed of. */
  count(): Counting
  /** Changes the password of `guest`; absent where that cannot be done while it runs. */
  changePassword?(password: string): Promise<void>
}

export interface Alarm extends AsyncDisposable {
  readonly url: string
  raise(): Promise<void>
  clear(): Promise<void>
}

export interface Kind {
  readonly name: string
  readonly available: boolean
  /** Faults it cannot have, by how they begin. */
  readonly spared?: readonly string[]
  /** Faults that are run in their long form alone, since the others show as much of them. */
  readonly longOnly?: readonly string[]
  readonly start: () => Promise<Victim>
}

/** Faults of brokers that lend messages for a time, and of servers that sync by a timer. */
const LEASED = ['F11', 'F25']

export const builtin: Kind = {
  name: 'the built-in broker',
  available: true,
  spared: LEASED,
  longOnly: ['F14'],
  async start() {
    const broker = await startBroker()
    return {
      url: broker.tcpUrl,
      port: broker.port,
      readsHeaders: true,
      restarts: 10,
      kill: () => broker.kill(),
      stop: async () => void (await broker.stop()),
      start: () => broker.start(),
      alarm: smallBroker,
      count: () => countBuiltin(broker.data),
      [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
    }
  },
}

export const rabbit: Kind = {
  name: 'RabbitMQ',
  available: hasOwnRabbit(),
  // Classic queues, in which RabbitMQ counts no deliveries.
  spared: [...LEASED, 'F22'],
  longOnly: ['F2 producers with', 'F14'],
  async start() {
    const server = await startRabbit()
    const watermark = async (share: string): Promise<void> => void (await server.ctl('set_vm_memory_high_watermark', share))
    return {
      url: server.url,
      port: server.port,
      restarts: 3,
      kill: () => server.kill(),
      stop: () => server.stop(),
      start: () => server.start(),
      alarm: async () => ({
        url: server.url,
        raise: () => watermark('0.00001'),
        clear: () => watermark('0.4'),
        [Symbol.asyncDispose]: () => watermark('0.4'),
      }),
      count: () => countRabbit(server),
      changePassword: async (password) => void (await server.ctl('change_password', 'guest', password)),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
}

export const redis: Kind = {
  name: 'Redis',
  available: have('redis-server'),
  // It blocks nobody: where it has no room, it says so to each publish.
  spared: ['F15'],
  longOnly: ['F2 producers with', 'F3 reload', 'F14', 'F17', 'F40'],
  async start() {
    const server = await startRedis([...SAFE, '--user', 'guest', 'on', '>guest', '~*', '&*', '+@all'])
    const url = server.url.replace('//', '//guest:guest@')
    return {
      url,
      hasty: `${url}?lease_seconds=1`,
      leaseMs: 1_000,
      port: server.port,
      restarts: 10,
      kill: () => server.kill(),
      stop: () => server.stop(),
      start: () => server.start(),
      toConsume: 2,
      count: () => countRedis(server),
      changePassword: async (password) => void (await server.command('ACL', 'SETUSER', 'guest', 'resetpass', `>${password}`)),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
}

/** An emulator, which nobody can kill or cut off in a way that the real one would be. */
export async function startSqsVictim(): Promise<Reachable & AsyncDisposable> {
  const emulator = await startSqs()
  return {
    url: `${emulator.url}&lease_seconds=2`,
    maxBodyBytes: 500_000,
    leaseMs: 2_000,
    [Symbol.asyncDispose]: () => emulator[Symbol.asyncDispose](),
  }
}

/** A built-in broker whose store may hold little, filled to raise the alarm. */
async function smallBroker(): Promise<Alarm> {
  let blocked = false
  const broker = await startHere({
    data: tempDir('small'),
    listen: '127.0.0.1:0',
    maxStoreBytes: 4 * 1024 * 1024,
  })
  const url = `amqp://guest:guest@${broker.address?.listen}`
  const filler = connect(url, {
    deadlineMs: 1_000,
    onEvent: ({ type }) => {
      if (type === 'blocked') blocked = true
      if (type === 'unblocked') blocked = false
    },
  })
  const ballast = queue('ballast')
  return {
    url,
    async raise() {
      await waitFor(
        async () => {
          await filler.publish(ballast, Buffer.alloc(64 * 1024)).catch(() => undefined)
          return blocked
        },
        { what: 'the store to be full', deadlineMs: 60_000, everyMs: 0 },
      )
    },
    async clear() {
      const other = connect(url)
      await other.purge(ballast)
      await other.close()
      await waitFor(() => !blocked, { what: 'the alarm to be over' })
    },
    async [Symbol.asyncDispose]() {
      await filler.close({ deadlineMs: 100 })
      await broker.stop()
    },
  }
}
