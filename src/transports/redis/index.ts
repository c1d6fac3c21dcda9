/** Redis and Valkey, at `redis:`, `rediss:`, `valkey:` and `valkeys:` URLs, in the keys and the bytes of Kombu. */
import { type Clock, systemClock } from '../../core/clock.ts'
import type { Capabilities, Transport } from '../../core/transport.ts'
import { describe, parseAddress } from './address.ts'
import { redisSession } from './session.ts'

const capabilities: Capabilities = Object.freeze({
  exchangeTypes: Object.freeze(['direct', 'topic', 'fanout', 'headers']),
  priorities: true,
  messageTtl: true,
  deadLetterExchange: true,
  deliveryCount: true,
  exclusiveQueues: true,
  routedKnown: true,
  directReply: true,
})

/** Sessions know of each other, so that what one held that died is given back by the next and need not wait for its lease to end. */
export function createRedisTransport(clock: Clock = systemClock): Transport {
  /** By server and prefix. */
  const orphans = new Map<string, Set<string>>()
  return Object.freeze({
    name: 'redis',
    capabilities,
    open({ url, ...options }) {
      const address = parseAddress(url)
      const place = `${describe(address)}/${address.names.prefix}`
      const left = orphans.get(place) ?? new Set()
      orphans.set(place, left)
      return redisSession({ ...options, address, clock, orphans: left })
    },
  } satisfies Transport)
}

/** The one the URL table uses. */
export const redisTransport: Transport = createRedisTransport()
