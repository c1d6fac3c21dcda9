/** Redis and Valkey, at `redis:`, `rediss:`, `valkey:`, `valkeys:` and `sentinel:` URLs, in the keys and the bytes of Kombu. */
import { type Clock, systemClock } from '../../core/clock.ts'
import { ConnectionError } from '../../core/errors.ts'
import type { Capabilities, Transport } from '../../core/transport.ts'
import { describe, parseAddress } from './address.ts'
import type { Connector } from './client.ts'
import { fromUrl } from './npm-redis.ts'
import { requireRedis } from './peer.ts'
import { newPlace, type Place, redisSession } from './session.ts'

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

/** A transport whose sessions know only of each other. */
export function createRedisTransport(clock: Clock = systemClock, connector: Connector = fromUrl): Transport {
  const places = new Map<string, Place>()
  return Object.freeze({
    name: 'redis',
    capabilities,
    check(url) {
      parseAddress(url)
      if (connector === fromUrl) requireRedis()
    },
    async open({ url, ...options }) {
      const address = parseAddress(url)
      const { connectTimeoutMs } = options
      // Any Sentinel leads to the same master, and any node of a cluster to the one with the keys.
      const placeOf = (cluster: boolean): Place => {
        const name = `${address.master ?? (cluster ? 'cluster' : describe(address))}/${address.database}/${address.names.prefix}`
        const place = places.get(name) ?? newPlace()
        places.set(name, place)
        return place
      }
      const late = new AbortController()
      const timer = clock.after(connectTimeoutMs, () =>
        late.abort(new ConnectionError(`${describe(address)} did not open a session within ${connectTimeoutMs} ms`)),
      )
      try {
        const signal = AbortSignal.any([options.signal, late.signal])
        return await redisSession({ ...options, signal, address, connector, clock, placeOf })
      } finally {
        timer.cancel()
      }
    },
  } satisfies Transport)
}

/** The one the URL table uses. */
export const redisTransport: Transport = createRedisTransport()
