/** Metrics over UDP to statsd or what speaks like it: of the web under the names that Gunicorn gives its own, and of messages. */
import type { StatsD } from 'hot-shots'
import type { ResolvedStatsd } from '../config/statsd.ts'
import { loadPeer, type Peer } from '../core/peer.ts'
import { type MessageReport, messageMetrics } from './messages.ts'

export interface Statsd {
  /** One that is over; `status` is absent where the client left before it was told one. */
  request(status: number | undefined, durationMs: number): void
  /** How many web workers are ready. Sent when it changes, and now and then, since packets get lost. */
  workers(count: number): void
  /** What each consumer and forwarder has told last. Sent when it changes; gauges are sent as the workers. */
  messages(reports: readonly MessageReport[]): void
  /** Resolves when what was held back is sent. Never rejects. */
  close(): Promise<void>
}

// Below what fits into one packet of any network. Bytes.
const PACKET_BYTES = 1_400
const GAUGES_EVERY_MS = 10_000

/** Keeps no process alive. `onError` hears of the first that could not be sent. Rejects with `MissingPeerError`. */
export async function openStatsd({ host: address, prefix, tags }: ResolvedStatsd, onError: (error: Error) => void): Promise<Statsd> {
  const colon = address.lastIndexOf(':')
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '')
  let hasFailed = false
  const client: StatsD = new (await library())({
    host,
    port: Number(address.slice(colon + 1)),
    prefix,
    globalTags: tags,
    protocol: 'udp',
    udpSocketOptions: { type: host.includes(':') ? 'udp6' : 'udp4' },
    cacheDns: true,
    maxBufferSize: PACKET_BYTES,
    errorHandler(error) {
      if (!hasFailed) onError(error)
      hasFailed = true
    },
  })
  let ready: number | undefined
  const tellWorkers = (): void => void (ready !== undefined && client.gauge('workers', ready))
  const messages = messageMetrics({
    increment: (name, count) => client.increment(name, count),
    gauge: (name, value) => client.gauge(name, value),
  })
  const tellGauges = (): void => {
    tellWorkers()
    messages.repeat()
  }
  const timer = setInterval(tellGauges, GAUGES_EVERY_MS).unref()
  return {
    request(status, durationMs) {
      client.increment('requests')
      client.timing('request.duration', durationMs)
      if (status !== undefined) client.increment(`request.status.${status}`)
    },
    workers(count) {
      if (count === ready) return
      ready = count
      tellWorkers()
    },
    messages: (reports) => messages.tell(reports),
    close() {
      clearInterval(timer)
      return new Promise((resolve) => client.close(() => resolve()))
    },
  }
}

const HOT_SHOTS: Peer = { name: 'hot-shots', neededFor: '`statsd` in the config' }

async function library(): Promise<typeof StatsD> {
  return (await loadPeer(HOT_SHOTS, () => import('hot-shots'))).StatsD
}
