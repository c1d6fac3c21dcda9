/** The queue on a real store against a model of a few lines: whatever is done to both, both say the same. */
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openStore, type SqliteStore } from '../../src/broker/store/sqlite-store.ts'
import { tempDir } from '../support/run-folder.ts'
import { FakeClock, type Got, harness, type Harness, type Peer } from './engine-harness.ts'
import { bodyInMemory } from '../../src/broker/engine/index.ts'

const LANES = 3

interface Item {
  readonly body: string
  readonly lane: number
  readonly expiresAt: number
  failures: number
  redelivered: boolean
}

type How = 'ack' | 'reject' | 'failed' | 'untouched'

const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('publish' as const),
      // Several at once reach beyond the window.
      times: fc.constantFrom(1, 1, 5),
      lane: fc.nat(LANES - 1),
      ttl: fc.constantFrom(undefined, undefined, 30, 80),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('get' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      pick: fc.nat(20),
      how: fc.constantFrom<How>('ack', 'reject', 'failed', 'untouched'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('consume' as const), prefetch: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 50 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purge' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const), clean: fc.boolean() }) },
)
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

/** What should happen. `ready` is in order of publishing. */
class Model {
  ready: Item[] = []
  held: Item[] = []
  readonly dead: string[] = []
  #order = new Map<Item, number>()

  publish(item: Item): void {
    this.#order.set(item, this.#order.size)
    this.ready.push(item)
  }

  giveBack(item: Item, failed: boolean): void {
    item.redelivered = true
    if (failed) item.failures++
    this.ready.push(item)
    this.ready.sort((a, b) => (this.#order.get(a) ?? 0) - (this.#order.get(b) ?? 0))
  }

  /** Only the heads of lanes expire. */
  expire(now: number): void {
    for (let lane = 0; lane < LANES; lane++) {
      for (let head = this.#head(lane); head && head.expiresAt <= now; head = this.#head(lane)) {
        this.#take(head)
        this.dead.push(head.body)
      }
    }
  }

  next(): Item | undefined {
    for (let lane = LANES - 1; lane >= 0; lane--) {
      const head = this.#head(lane)
      if (head) return this.#take(head)
    }
    return undefined
  }

  #head(lane: number): Item | undefined {
    return this.ready.find((item) => item.lane === lane)
  }

  #take(item: Item): Item {
    this.ready = this.ready.filter((other) => other !== item)
    return item
  }
}

class Run {
  readonly #path = join(tempDir('model'), 'broker.db')
  readonly #clock = new FakeClock()
  readonly #model = new Model()
  #store!: SqliteStore
  #h!: Harness
  #peer!: Peer
  #held: { tag: number; item: Item; byConsumer: boolean }[] = []
  #prefetch = 0
  #count = 0

  constructor() {
    this.#open()
    this.#h.queue('dead')
    this.#h.queue('q', { 'x-max-priority': LANES - 1, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' })
  }

  apply(op: Operation): void {
    const model = this.#model
    switch (op.do) {
      case 'publish': {
        const expiresAt = op.ttl === undefined ? Infinity : this.#clock.monotonic() + op.ttl
        for (let n = 0; n < op.times; n++) {
          const body = `${++this.#count}`
          this.#peer.publish('', 'q', body, { priority: op.lane, ...(op.ttl !== undefined && { expirationMs: op.ttl }) })
          model.publish({ body, lane: op.lane, expiresAt, failures: 0, redelivered: false })
        }
        break
      }
      case 'get': {
        model.expire(this.#clock.monotonic())
        const expected = model.next()
        const got = this.#peer.channel.get('q', false)
        expect(got && Buffer.from(bodyInMemory(got.message)).toString()).toBe(expected?.body)
        if (got && expected) this.#held.push({ tag: got.tag, item: expected, byConsumer: false })
        break
      }
      case 'settle': {
        const [held] = this.#held.splice(op.pick % Math.max(1, this.#held.length), 1)
        if (held) this.#settle(held.tag, held.item, op.how)
        break
      }
      case 'consume':
        if (this.#prefetch > 0) break
        this.#prefetch = op.prefetch
        this.#peer.channel.consume({ queue: 'q', tag: 'c', noAck: false, exclusive: false, arguments: {}, prefetch: op.prefetch })
        break
      case 'cancel':
        this.#peer.channel.cancel('c')
        this.#prefetch = 0
        for (const held of this.#held) held.byConsumer = false
        break
      case 'pass':
        this.#clock.pass(op.ms)
        break
      case 'purge':
        this.#model.expire(this.#clock.monotonic())
        expect(this.#h.engine.purge('q', {})).toBe(model.ready.length)
        model.ready = []
        break
      case 'reopen':
        this.#reopen(op.clean)
    }
    this.#h.turn()
    this.#delivered(this.#peer.take())
    model.expire(this.#clock.monotonic())
    expect(this.#h.depth('q')).toBe(model.ready.length)
    expect(this.#h.depth('dead')).toBe(model.dead.length)
  }

  /** Everything that should be there is, in order, and nothing else. */
  finish(): void {
    const bodies = (queue: string): string[] => {
      const found: string[] = []
      for (let got = this.#peer.channel.get(queue, true); got; got = this.#peer.channel.get(queue, true)) {
        found.push(Buffer.from(bodyInMemory(got.message)).toString())
      }
      return found
    }
    this.#reopen(true)
    const expected: string[] = []
    const next = (): Item | undefined => {
      this.#model.expire(this.#clock.monotonic())
      return this.#model.next()
    }
    for (let item = next(); item; item = next()) expected.push(item.body)
    expect(bodies('q')).toEqual(expected)
    expect(bodies('dead').toSorted()).toEqual(this.#model.dead.toSorted())
    this.#h.turn()
    this.#store.close(true)
  }

  #delivered(deliveries: readonly Got[]): void {
    const held = this.#held.filter(({ byConsumer }) => byConsumer).length
    const room = this.#prefetch - held
    for (const got of deliveries) {
      this.#model.expire(this.#clock.monotonic())
      const expected = this.#model.next()
      expect({ body: got.body, redelivered: got.redelivered, count: got.headers['x-delivery-count'] }).toEqual({
        body: expected?.body,
        redelivered: expected?.redelivered,
        count: expected?.redelivered ? expected.failures : undefined,
      })
      if (expected) this.#held.push({ tag: got.tag, item: expected, byConsumer: true })
    }
    this.#model.expire(this.#clock.monotonic())
    if (this.#prefetch > 0) expect(deliveries.length === room || this.#model.ready.length === 0).toBe(true)
    else expect(deliveries).toEqual([])
  }

  #settle(tag: number, item: Item, how: How): void {
    const { channel } = this.#peer
    if (how === 'ack') channel.ack(tag, false)
    else if (how === 'reject') {
      channel.reject(tag, false)
      this.#model.dead.push(item.body)
    } else {
      channel.giveBack(tag, false, how)
      this.#model.giveBack(item, how === 'failed')
    }
  }

  #reopen(clean: boolean): void {
    this.#h.turn()
    this.#delivered(this.#peer.take())
    // What was settled last has had its time, or it would come again.
    this.#h.engine.flush()
    if (clean) {
      this.#peer.channel.close('untouched')
      this.#h.engine.close()
    }
    this.#store.close(clean)
    for (const { item } of this.#held) this.#model.giveBack(item, false)
    this.#held = []
    this.#prefetch = 0
    if (!clean) for (const item of this.#model.ready) item.redelivered = true
    this.#open()
    this.#h.turn()
  }

  #open(): void {
    this.#store = openStore(this.#path)
    // A window of few messages, so that paging happens all the time.
    this.#h = harness(this.#store, this.#clock, 3)
    this.#peer = this.#h.peer()
  }
}

test('a queue does what its model does, across restarts', () => {
  fc.assert(
    fc.property(fc.array(operation, { minLength: 5, maxLength: 60, size: 'max' }), (operations) => {
      const run = new Run()
      for (const op of operations) run.apply(op)
      run.finish()
    }),
    { numRuns: 20 },
  )
})
