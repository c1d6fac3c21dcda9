/** What a running broker can be asked: by its own process, and over a socket of its private folder by `omnibus inspect`. */
import { createServer, type Server } from 'node:net'
import type { ConnectionStats } from './listener/connection.ts'
import type { QueueStats } from './engine/index.ts'

/** Messages per second over the last five to ten seconds. */
export interface Rates {
  readonly published: number
  readonly delivered: number
  readonly acked: number
}

export interface BrokerStats {
  readonly pid: number
  readonly uptimeMs: number
  /** Why publishers are blocked, if they are. */
  readonly alarm: string | undefined
  /** Resident memory of the process, and what of it are bodies of ready messages. */
  readonly memoryBytes: number
  readonly messageBytes: number
  /** Of the disk, for messages and what is needed to find them. */
  readonly storeBytes: number
  /** Connections, also those that are not logged in yet. */
  readonly clients: number
  readonly queues: readonly (QueueStats & { readonly rates: Rates })[]
  readonly connections: readonly ({ readonly client: string } & ConnectionStats)[]
}

const SAMPLE_MS = 5_000

type Counts = Pick<QueueStats, 'published' | 'delivered' | 'acked'>

export interface Sampler {
  rates(queue: QueueStats): Rates
  stop(): void
}

/** Looks at the counters every five seconds, so that rates can be told at any time. */
export function sampler(read: () => readonly QueueStats[], now: () => number = () => performance.now()): Sampler {
  const take = () => ({ at: now(), counts: new Map<string, Counts>(read().map((queue) => [queue.name, queue])) })
  let before = take()
  let last = before
  const timer = setInterval(() => {
    before = last
    last = take()
  }, SAMPLE_MS).unref()
  return {
    rates(queue) {
      const seconds = Math.max(1, now() - before.at) / 1000
      const then = before.counts.get(queue.name)
      // A queue that was declared anew counts from nothing.
      const rate = (counter: keyof Counts): number => Math.max(0, queue[counter] - Math.min(then?.[counter] ?? 0, queue[counter])) / seconds
      return { published: rate('published'), delivered: rate('delivered'), acked: rate('acked') }
    },
    stop: () => clearInterval(timer),
  }
}

/** Writes the statistics to whoever connects, as one JSON document, and hangs up. */
export async function serveStatistics(path: string, read: () => BrokerStats): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.end(JSON.stringify(read()))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return server.unref()
}
