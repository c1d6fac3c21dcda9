/** What every outbox keeps, on each of the databases, with a bus to relay it. */
import { randomUUID } from 'node:crypto'
import { describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { type BusEvent, consume, createBus, event, exponential, type Message, on, queue, ValidationError } from '../../src/index.ts'
import { waitFor } from '../support/wait.ts'
import { type Database, postgres, sqlite } from './databases.ts'

const url = `memory:${randomUUID()}`

function open(at = url) {
  const relayed: Extract<BusEvent, { type: 'relay' }>[] = []
  const bus = createBus({
    url: at,
    source: 'shop',
    connection: { maxBodyBytes: 10_000 },
    onEvent: (told) => void (told.type === 'relay' && relayed.push(told)),
  })
  onTestFinished(() => bus.close({ deadlineMs: 1_000 }))
  return { bus, relayed }
}

/** An event, and all of it that comes. */
async function listening() {
  const Happened = event(`test.happened.${randomUUID()}`, { schema: z.object({ n: z.number(), text: z.string().optional() }) })
  const came: Message<{ n: number }>[] = []
  const { bus } = open()
  const work = queue(`test.work.${randomUUID()}`, { listensTo: [Happened] })
  await bus.consume(
    consume(
      work,
      on(Happened, (message) => void came.push(message)),
    ),
  )
  return { Happened, came, numbers: () => came.map(({ data }) => data.n) }
}

contract(sqlite)
contract(postgres)

function contract<Transaction>({ name, available, place }: Database<Transaction>): void {
  describe.runIf(available)(`an outbox in ${name}`, () => {
    it('sends an event when its transaction is committed, and none of one that is rolled back', async () => {
      const { Happened, came } = await listening()
      const { instance, effects } = await place()
      const { outbox, transact, write } = instance()
      const events = open().bus.outbox(outbox)
      const rolledBack = transact(async (transaction) => {
        await write(transaction, 'never')
        await events.publish(transaction, Happened, { n: 1 })
        throw new Error('no luck')
      })
      await expect(rolledBack).rejects.toThrow('no luck')
      const gate = Promise.withResolvers<void>()
      let [written, id] = [false, '']
      const before = Date.now()
      const committed = transact(async (transaction) => {
        await write(transaction, 'done')
        ;({ id } = await events.publish(transaction, Happened, { n: 2 }, { headers: { tenant: 'a' }, correlationId: 'c' }))
        written = true
        await gate.promise
      })
      await waitFor(() => written, { what: 'the event to be written' })
      const after = Date.now()
      expect(came).toEqual([])
      gate.resolve()
      await committed
      await waitFor(() => came.length > 0, { what: 'the event' })
      expect(came).toMatchObject([{ id, data: { n: 2 }, headers: { tenant: 'a' }, correlationId: 'c' }])
      // When it happened, to the second as AMQP has it, and not when it was sent.
      expect(came[0]!.time.getTime()).toBeGreaterThanOrEqual(before - 1_000)
      expect(came[0]!.time.getTime()).toBeLessThanOrEqual(after)
      expect(await effects()).toEqual(['done'])
    })

    it('is relayed by one bus at a time: each event once, in order', async () => {
      const { Happened, numbers } = await listening()
      const { instance } = await place()
      const all = [instance(), instance(), instance()].map((one) => ({ ...one, events: open().bus.outbox(one.outbox) }))
      const count = 500
      const [one] = all
      await one!.transact(async (transaction) => {
        for (let n = 0; n < count; n++) await one!.events.publish(transaction, Happened, { n })
      })
      await waitFor(() => numbers().length >= count, { what: 'all of them' })
      // And after all that any of them may still have been at.
      await one!.transact(async (transaction) => void (await one!.events.publish(transaction, Happened, { n: count })))
      await waitFor(() => numbers().includes(count), { what: 'the last' })
      expect(numbers()).toEqual(Array.from({ length: count + 1 }, (_, n) => n))
    })

    it('sends what was committed before the bus is closed, or else leaves it to the next', async () => {
      const { Happened, numbers } = await listening()
      const { instance } = await place()
      const one = instance()
      const { bus } = open()
      const events = bus.outbox(one.outbox)
      await one.transact(async (transaction) => void (await events.publish(transaction, Happened, { n: 1 })))
      await bus.close()
      await waitFor(() => numbers().length === 1, { what: 'the first' })

      const away = open('amqp://127.0.0.1:1')
      const left = away.bus.outbox(one.outbox)
      await one.transact(async (transaction) => void (await left.publish(transaction, Happened, { n: 2 })))
      await away.bus.close({ deadlineMs: 500 })
      await waitFor(() => away.relayed.length > 0, { what: 'the failure to be told' })
      expect(away.relayed[0]?.refused).toBeUndefined()
      open().bus.outbox(instance().outbox)
      await waitFor(() => numbers().length === 2, { what: 'the second' })
      expect(numbers()).toEqual([1, 2])
    })

    it('puts aside what no broker takes, says so, and goes on', async () => {
      const { Happened, numbers } = await listening()
      const { instance } = await place()
      const { outbox, transact } = instance()
      const { bus, relayed } = open()
      const events = bus.outbox(outbox)
      await transact(async (transaction) => {
        await events.publish(transaction, Happened, { n: 1, text: 'x'.repeat(10_000) }, { id: 'large' })
        await events.publish(transaction, Happened, { n: 2 })
      })
      await waitFor(() => numbers().length === 1 && relayed.length > 0, { what: 'the small one' })
      await transact(async (transaction) => void (await events.publish(transaction, Happened, { n: 3 })))
      await waitFor(() => numbers().length === 2, { what: 'the next' })
      expect(numbers()).toEqual([2, 3])
      expect(relayed).toMatchObject([{ refused: 'large' }])
    })

    it('sends once what the handler of an inbox publishes, of the attempt that was committed', async () => {
      const { Happened, came } = await listening()
      const Ordered = event<{ n: number }>(`test.ordered.${randomUUID()}`)
      const { instance, effects } = await place()
      const { inbox, outbox, write } = instance()
      const { bus } = open()
      const events = bus.outbox(outbox)
      await bus.consume(
        consume(
          queue(`test.orders.${randomUUID()}`, { listensTo: [Ordered] }),
          { inbox, retry: exponential({ attempts: 2, minMs: 10 }) },
          on(Ordered, async ({ data }, { transaction, attempt }) => {
            await write(transaction, `order ${data.n}`)
            await events.publish(transaction, Happened, { n: data.n * 10 + attempt })
            if (attempt === 1) throw new Error('no luck')
          }),
        ),
      )
      for (let copy = 0; copy < 3; copy++) await bus.publish(Ordered, { n: 1 }, { id: 'one' })
      await bus.publish(Ordered, { n: 2 })
      await waitFor(() => came.length === 2, { what: 'both' })
      expect(came.map(({ data }) => data.n).toSorted((a, b) => a - b)).toEqual([12, 22])
      expect(await effects()).toEqual(['order 1', 'order 2'])
    })

    it('refuses what does not fit, before anything is written', async () => {
      const { Happened } = await listening()
      const { instance } = await place()
      const { outbox, transact } = instance()
      const events = open().bus.outbox(outbox)
      const Any = event(`test.any.${randomUUID()}`)
      await transact(async (transaction) => {
        await expect(events.publish(transaction, Happened, { n: 'one' } as never)).rejects.toThrow(ValidationError)
        await expect(events.publish(transaction, Any, Buffer.from('bytes'))).rejects.toThrow(/data: expected what JSON can hold/)
        await expect(events.publish(transaction, Any, { n: 1n })).rejects.toThrow(/data: expected what JSON can hold, got .*BigInt/)
        await expect(events.publish(transaction, 'happened' as never, {})).rejects.toThrow(/event: expected an event made by event\(\)/)
      })
    })
  })
}

it('refuses what is no outbox', () => {
  expect(() => open().bus.outbox({} as never)).toThrow(/outbox: expected an outbox, such as postgresOutbox\(pool\)/)
})
