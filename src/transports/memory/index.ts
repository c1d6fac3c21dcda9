/** The broker's engine inside this process, at `memory:NAME` URLs. Everything ends with the process. */
import { Engine } from '../../broker/engine/index.ts'
import { type Clock, systemClock } from '../../core/clock.ts'
import type { Transport } from '../../core/transport.ts'
import { memorySession } from './session.ts'

/**
 * A transport with engines of its own: sessions of the same URL share one, which lives as long as the transport, so that a
 * message published by one connection is there for the next.
 */
export function createMemoryTransport(clock: Clock = systemClock): Transport {
  const engines = new Map<string, Engine>()
  return Object.freeze({
    name: 'memory',
    capabilities: Object.freeze({
      exchangeTypes: Object.freeze(['direct', 'topic', 'fanout', 'headers']),
      priorities: true,
      messageTtl: true,
      deadLetterExchange: true,
      deliveryCount: true,
      exclusiveQueues: true,
      routedKnown: true,
      directReply: true,
    }),
    async open({ url, signal }) {
      signal.throwIfAborted()
      const name = `${url.host}${url.pathname}`
      const engine = engines.get(name) ?? new Engine({ clock, defer: (callback) => void setImmediate(callback) })
      engines.set(name, engine)
      return memorySession(engine, clock)
    },
  } satisfies Transport)
}

/** The one the URL table uses. */
export const memoryTransport: Transport = createMemoryTransport()
