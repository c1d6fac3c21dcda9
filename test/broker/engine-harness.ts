/** An engine under a clock and an event loop the test turns by hand. */
import type { Clock, Timer } from '../../src/core/clock.ts'
import type { Headers, MessageProperties } from '../../src/core/message.ts'
import { bodyInMemory, type Channel, decodeProperties, encodeProperties, Engine, type EngineEvent } from '../../src/broker/engine/index.ts'
import type { Store } from '../../src/broker/engine/store.ts'

export class FakeClock implements Clock {
  #now = 0
  #timers = new Set<{ at: number; callback: () => void }>()

  monotonic(): number {
    return this.#now
  }

  wall(): number {
    return 1_800_000_000_000 + this.#now
  }

  after(ms: number, callback: () => void): Timer {
    const timer = { at: this.#now + Math.max(0, ms), callback }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  /** Lets time pass; timers fire in order. */
  pass(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const next = [...this.#timers].filter((timer) => timer.at <= end).toSorted((a, b) => a.at - b.at)[0]
      if (!next) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.callback()
    }
    this.#now = end
  }
}

export interface Got {
  readonly consumer: string
  readonly tag: number
  readonly body: string
  readonly redelivered: boolean
  readonly headers: Headers
  readonly properties: MessageProperties
  readonly routingKey: string
  readonly exchange: string
}

export interface Peer {
  readonly channel: Channel
  readonly owner: object
  /** Deliveries since last asked. */
  take(): Got[]
  readonly settled: string[]
  readonly returned: string[]
  readonly cancelled: string[]
  /** Whether it reads. */
  reading: boolean
  publish(exchange: string, routingKey: string, body: string, properties?: MessageProperties, mandatory?: boolean): void
}

export interface Harness {
  readonly engine: Engine
  readonly clock: FakeClock
  readonly events: EngineEvent[]
  /** Ends the event loop's turn, and those it brings about. */
  turn(): void
  peer(owner?: object): Peer
  queue(name: string, args?: Headers, more?: { durable?: boolean; exclusive?: boolean; autoDelete?: boolean }, owner?: object): string
  depth(name: string): number
}

export function harness(store?: Store, clock = new FakeClock(), window?: number): Harness {
  let deferred: (() => void)[] = []
  const events: EngineEvent[] = []
  const engine = new Engine({
    clock,
    ...(store && { store }),
    ...(window !== undefined && { window }),
    defer: (callback) => deferred.push(callback),
    onEvent: (event) => events.push(event),
  })
  const anybody = {}
  return {
    engine,
    clock,
    events,
    turn() {
      for (let round = 0; deferred.length > 0; round++) {
        if (round > 10_000) throw new Error('the engine never comes to rest')
        const now = deferred
        deferred = []
        for (const callback of now) callback()
      }
    },
    peer: (owner = {}) => peer(engine, owner),
    queue: (name, args = {}, { durable = true, exclusive = false, autoDelete = false } = {}, owner = anybody) =>
      engine.declareQueue({ name, durable, exclusive, autoDelete, arguments: args }, owner).name,
    depth: (name) => engine.stats().find((queue) => queue.name === name)?.ready ?? -1,
  }
}

function peer(engine: Engine, owner: object): Peer {
  let got: Got[] = []
  let lastId = 0
  const result: Peer = {
    owner,
    settled: [],
    returned: [],
    cancelled: [],
    reading: true,
    take() {
      const taken = got
      got = []
      return taken
    },
    publish(exchange, routingKey, body, properties = {}, mandatory = false) {
      result.channel.publish(
        { exchange, routingKey, properties: encodeProperties(properties), body: Buffer.from(body) },
        mandatory,
        ++lastId,
      )
    },
    channel: engine.channel(owner, {
      writable: () => result.reading,
      delivered(consumer, tag, message, entry) {
        const properties = decodeProperties(message.properties)
        got.push({
          consumer,
          tag,
          body: Buffer.from(bodyInMemory(message)).toString(),
          redelivered: entry.redelivered,
          headers: properties.headers ?? {},
          properties,
          routingKey: message.routingKey,
          exchange: message.exchange,
        })
      },
      cancelled: (tag) => result.cancelled.push(tag),
      returned: (message) => result.returned.push(Buffer.from(bodyInMemory(message)).toString()),
      settled: (id, outcome) => result.settled.push(`${id} ${outcome}`),
    }),
  }
  return result
}
