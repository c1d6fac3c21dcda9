import { describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import {
  connect,
  consume,
  broadcast,
  event,
  exponential,
  on,
  queue,
  Reject,
  RetryAfter,
  ValidationError,
  type Message,
} from '../../src/index.ts'
import { waitFor } from '../support/wait.ts'
import { brokers, busOn, unique } from './brokers.ts'

for (const broker of brokers) {
  describe.runIf(broker.available)(`the bus on ${broker.name}`, () => {
    const quick = exponential({ attempts: 3, minMs: 50, maxMs: 100 })

    function names() {
      const Happened = event(unique('test.happened'), { schema: z.object({ n: z.number(), at: z.coerce.date().optional() }) })
      const work = queue(unique('test.work'), { listensTo: [Happened] })
      return { Happened, work }
    }

    /** Looks at a queue from below, and leaves nothing of it behind. */
    async function below() {
      const connection = connect(await broker.url())
      onTestFinished(() => connection.close())
      return connection
    }

    it('delivers an event to its handler, validated, and acks after it', async () => {
      const { Happened, work } = names()
      const { bus } = await busOn(broker)
      const seen: Message<{ n: number; at?: Date | undefined }>[] = []
      await bus.consume(
        consume(
          work,
          on(Happened, (message) => void seen.push(message)),
        ),
      )
      const { id, routed } = await bus.publish(Happened, { n: 1, at: '2026-01-02T03:04:05Z' }, { headers: { tenant: 'a' } })
      expect(routed).toBe(true)
      await waitFor(() => seen.length === 1, { what: 'the event' })
      expect(seen[0]).toMatchObject({
        id,
        type: Happened.type,
        data: { n: 1, at: new Date('2026-01-02T03:04:05Z') },
        headers: { tenant: 'a' },
      })
      const connection = await below()
      await waitFor(async () => (await connection.inspect(work)).messages === 0, { what: 'the queue to be empty' })
    })

    it('says when nobody listens, and keeps for a component that has never run what `declares` names', async () => {
      const { Happened, work } = names()
      const alone = await busOn(broker)
      expect(await alone.bus.publish(Happened, { n: 1 })).toMatchObject({ routed: false })
      const { bus } = await busOn(broker, { declares: [work] })
      expect(await bus.publish(Happened, { n: 2 })).toMatchObject({ routed: true })
      const seen: number[] = []
      await alone.bus.consume(
        consume(
          work,
          on(Happened, ({ data }) => void seen.push(data.n)),
        ),
      )
      await waitFor(() => seen.length > 0, { what: 'the waiting event' })
      expect(seen).toEqual([2])
    })

    it('refuses data that does not fit before anything is sent', async () => {
      const { Happened } = names()
      const { bus } = await busOn(broker)
      await expect(bus.publish(Happened, { n: 'one' } as never)).rejects.toThrow(ValidationError)
      await expect(bus.publish(Happened, { n: 'one' } as never)).rejects.toThrow(/Data of test\.happened.* n: /)
    })

    it('retries with backoff under the same id, then puts it with its reason into the dead letter queue', async () => {
      const { Happened, work } = names()
      const { bus, events } = await busOn(broker)
      const tries: [string, number][] = []
      const definition = consume(
        work,
        { retry: quick },
        on(Happened, ({ id }, { attempt }) => {
          tries.push([id, attempt])
          throw new Error('no luck')
        }),
      )
      await bus.consume(definition)
      const { id } = await bus.publish(Happened, { n: 1 })
      const connection = await below()
      const dead = await waitFor(() => connection.get(`${work.name}.dlq`), { what: 'the dead letter' })
      expect(tries).toEqual([
        [id, 1],
        [id, 2],
        [id, 3],
      ])
      expect(dead.payload).toEqual({ n: 1 })
      expect(dead.properties).toMatchObject({
        messageId: id,
        headers: { 'omnibus-dead-reason': 'no luck', 'omnibus-dead-queue': work.name, 'omnibus-dead-attempts': 3 },
      })
      await dead.ack()
      await waitFor(() => events.some((e) => e.type === 'message' && e.outcome.type === 'dead-lettered'), { what: 'the report' })
      expect(events.filter((e) => e.type === 'message').map((e) => e.outcome.type)).toEqual(['retried', 'retried', 'dead-lettered'])
    })

    it('does not retry what cannot become right: Reject, data that does not fit, an event without a handler, no JSON', async () => {
      const { Happened, work } = names()
      const { bus } = await busOn(broker)
      let handled = 0
      const handler = on(Happened, () => {
        handled++
        throw new Reject('not for us')
      })
      await bus.consume(consume(work, { retry: quick }, handler))
      await bus.publish(Happened, { n: 1 })
      const connection = await below()
      await connection.publish(work, { n: 'one' }, { type: Happened.type })
      await connection.publish(work, { n: 1 }, { type: 'other.v1' })
      await connection.publish(work, Buffer.from('{'), { type: Happened.type, contentType: 'application/json' })
      const reasons = new Set<string>()
      await waitFor(
        async () => {
          const dead = await connection.get(`${work.name}.dlq`)
          if (dead) {
            reasons.add(String(dead.properties.headers?.['omnibus-dead-reason']).slice(0, 14))
            await dead.ack()
          }
          return reasons.size === 4
        },
        { what: 'four dead letters' },
      )
      expect([...reasons].sort()).toEqual(['Data of test.h', 'No handler her', 'The body is no', 'not for us'])
      expect(handled).toBe(1)
    })

    it('tries again after as long as the handler asks for', async () => {
      const { Happened, work } = names()
      const { bus } = await busOn(broker)
      const attempts: number[] = []
      await bus.consume(
        consume(
          work,
          on(Happened, (_, { attempt }) => {
            attempts.push(attempt)
            if (attempt === 1) throw new RetryAfter(30)
          }),
        ),
      )
      await bus.publish(Happened, { n: 1 })
      await waitFor(() => attempts.length === 2, { what: 'the second attempt' })
      expect(attempts).toEqual([1, 2])
    })

    it('fails a handler that takes too long, and tells it so', async () => {
      const { Happened, work } = names()
      const { bus } = await busOn(broker)
      const reasons: unknown[] = []
      const policy = { timeoutMs: 50, retry: exponential({ attempts: 1 }) }
      await bus.consume(
        consume(
          work,
          policy,
          on(Happened, (_, { signal }) => new Promise(() => signal.addEventListener('abort', () => reasons.push(signal.reason)))),
        ),
      )
      await bus.publish(Happened, { n: 1 })
      const connection = await below()
      const dead = await waitFor(() => connection.get(`${work.name}.dlq`), { what: 'the dead letter' })
      await dead.ack()
      expect(String(reasons[0])).toContain('longer than 50 ms')
    })

    it('gives every broadcast consumer every event, and shares a queue among its instances', async () => {
      const { Happened, work } = names()
      const one = await busOn(broker)
      const two = await busOn(broker)
      const seen = { one: [] as number[], two: [] as number[], shared: [] as number[] }
      await one.bus.consume(broadcast(on(Happened, ({ data }) => void seen.one.push(data.n))))
      await two.bus.consume(broadcast(on(Happened, ({ data }) => void seen.two.push(data.n))))
      for (const { bus } of [one, two])
        await bus.consume(
          consume(
            work,
            on(Happened, ({ data }) => void seen.shared.push(data.n)),
          ),
        )
      for (let n = 0; n < 10; n++) await one.bus.publish(Happened, { n })
      const all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
      await waitFor(() => seen.one.length === 10 && seen.two.length === 10 && seen.shared.length === 10, { what: 'all events' })
      expect(seen.one).toEqual(all)
      expect(seen.two).toEqual(all)
      expect(seen.shared.toSorted((a, b) => a - b)).toEqual(all)
    })

    it('gives what a handler publishes an id of its own that a retry repeats', async () => {
      const { Happened, work } = names()
      const Followed = event(unique('test.followed'))
      const { bus } = await busOn(broker)
      const ids: string[] = []
      const causes: (string | undefined)[] = []
      await bus.consume(
        consume(
          queue(unique('test.following'), { listensTo: [Followed] }),
          on(Followed, ({ id, correlationId }) => {
            ids.push(id)
            causes.push(correlationId)
          }),
        ),
      )
      await bus.consume(
        consume(
          work,
          { retry: quick },
          on(Happened, async (_, context) => {
            await context.publish(Followed, {})
            await context.publish(Followed, {})
            if (context.attempt === 1) throw new Error('after publishing')
          }),
        ),
      )
      const { id } = await bus.publish(Happened, { n: 1 })
      await waitFor(() => ids.length === 4, { what: 'both events, twice' })
      expect(ids.slice(2)).toEqual(ids.slice(0, 2))
      expect(new Set(ids).size).toBe(2)
      expect(new Set(causes)).toEqual(new Set([id]))
    })

    it('runs no more handlers at a time than its concurrency', async () => {
      const { Happened, work } = names()
      const { bus } = await busOn(broker)
      let running = 0
      let most = 0
      let done = 0
      await bus.consume(
        consume(
          work,
          { concurrency: 3 },
          on(Happened, async () => {
            most = Math.max(most, ++running)
            await new Promise((resolve) => setImmediate(resolve))
            running--
            done++
          }),
        ),
      )
      await Promise.all(Array.from({ length: 30 }, (_, n) => bus.publish(Happened, { n })))
      await waitFor(() => done === 30, { what: 'all events' })
      expect(most).toBeLessThanOrEqual(3)
      expect(most).toBeGreaterThan(1)
    })

    it('stops by finishing what it holds; what does not finish goes to another instance', async () => {
      const { Happened, work } = names()
      const one = await busOn(broker)
      const two = await busOn(broker)
      const finished: number[] = []
      let holding = false
      const consumer = await one.bus.consume(
        consume(
          work,
          on(Happened, async ({ data }, { signal }) => {
            holding = true
            await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('cut off'))))
            finished.push(data.n)
          }),
        ),
      )
      await one.bus.publish(Happened, { n: 7 })
      await waitFor(() => holding, { what: 'the handler to begin' })
      await consumer.stop({ deadlineMs: 700 })
      const attempts: number[] = []
      await two.bus.consume(
        consume(
          work,
          on(Happened, ({ data }, { attempt }) => {
            finished.push(data.n)
            attempts.push(attempt)
          }),
        ),
      )
      await waitFor(() => finished.length === 1, { what: 'the other instance to finish it' })
      // Being stopped is not the message's fault.
      expect(attempts).toEqual([1])
    })
  })
}
