/** A consumer with an inbox, whatever happens to its handlers, its messages and its database. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { Pool } from 'pg'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  broadcast,
  connect,
  consume,
  type ConsumePolicy,
  createBus,
  event,
  exponential,
  type Handler,
  type HandlerContext,
  type Inbox,
  type InboxKey,
  on,
  postgresInbox,
  queue,
  Reject,
  sqliteInbox,
  Transient,
} from '../../src/index.ts'
import { hasOwnPostgres, startPostgres } from '../support/postgres.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { postgresAt, sqlite } from './databases.ts'

const url = `memory:${randomUUID()}`
const quick = exponential({ attempts: 3, minMs: 10, maxMs: 10 })

function names() {
  const Happened = event<{ n: number }>(`test.happened.${randomUUID()}`)
  return { Happened, work: queue(`test.work.${randomUUID()}`, { listensTo: [Happened] }) }
}

function open() {
  const outcomes: string[] = []
  const bus = createBus({ url, onEvent: (event) => void (event.type === 'message' && outcomes.push(event.outcome.type)) })
  const below = connect(url)
  onTestFinished(async () => {
    await bus.close({ deadlineMs: 1_000 })
    await below.close()
  })
  return { bus, below, outcomes }
}

describe('a consumer with an inbox', () => {
  /** One that writes each message's number, and then does what the test says. */
  async function writing(policy: ConsumePolicy<DatabaseSync>, then: (attempt: number) => unknown = () => undefined) {
    const { Happened, work } = names()
    const { effects, instance, remembered } = await sqlite.place()
    const { inbox, write } = instance()
    const { bus, below, outcomes } = open()
    await bus.consume(
      consume(
        work,
        { inbox, retry: quick, ...policy },
        on(Happened, async ({ data }, { transaction, attempt }) => {
          await write(transaction, `${data.n}`)
          await then(attempt)
        }),
      ),
    )
    return { Happened, work, bus, below, outcomes, effects, remembered }
  }

  it('acks another copy without handling it, and says so', async () => {
    const { bus, Happened, outcomes, effects } = await writing({ concurrency: 4 })
    for (let copy = 0; copy < 3; copy++) await Promise.all(['a', 'b'].map((id, n) => bus.publish(Happened, { n }, { id })))
    await waitFor(() => outcomes.length === 6, { what: 'all to be done with' })
    expect(outcomes.toSorted()).toEqual(['duplicate', 'duplicate', 'duplicate', 'duplicate', 'handled', 'handled'])
    expect(await effects()).toEqual(['0', '1'])
  })

  it('takes no retry for a copy, and keeps nothing of the attempts that failed', async () => {
    const { bus, Happened, outcomes, effects } = await writing({}, (attempt) => {
      if (attempt < 3) throw new Error('no luck')
    })
    await bus.publish(Happened, { n: 1 })
    await waitFor(() => outcomes.length === 3, { what: 'the third attempt' })
    expect(outcomes).toEqual(['retried', 'retried', 'handled'])
    expect(await effects()).toEqual(['1'])
  })

  it('does not mark a dead letter as handled: put back, it is', async () => {
    let right = false
    const { bus, below, Happened, work, outcomes, effects, remembered } = await writing({}, () => {
      if (!right) throw new Reject('not yet')
    })
    await bus.publish(Happened, { n: 1 })
    const letter = await waitFor(() => below.get(`${work.name}.dlq`), { what: 'the dead letter' })
    expect([await effects(), await remembered()]).toEqual([[], 0])
    right = true
    await below.publish('', work.name, letter.payload, letter.properties)
    await letter.ack()
    await waitFor(() => outcomes.includes('handled'), { what: 'it to be handled' })
    expect(await effects()).toEqual(['1'])
  })

  it('rolls back a handler that runs out of time, and handles the next attempt', async () => {
    const { bus, Happened, outcomes, effects } = await writing({ timeoutMs: 100 }, (attempt) => attempt === 1 && new Promise(() => {}))
    await bus.publish(Happened, { n: 1 })
    await waitFor(() => outcomes.length === 2, { what: 'the second attempt' })
    expect(outcomes).toEqual(['retried', 'handled'])
    expect(await effects()).toEqual(['1'])
  })

  it('gives a message that has no id to the dead letters, and says why', async () => {
    const { below, Happened, work, effects } = await writing({})
    await below.publish('', work.name, { n: 1 }, { type: Happened.type })
    const letter = await waitFor(() => below.get(`${work.name}.dlq`), { what: 'the dead letter' })
    await letter.ack()
    expect(letter.properties.headers?.['omnibus-dead-reason']).toMatch(/^It has no message id, .* its publisher has to set one/)
    expect(await effects()).toEqual([])
  })

  it('makes keys that any table takes of ids of any length, and with a NUL', async () => {
    const { Happened, work } = names()
    const { bus, below } = open()
    const keys: InboxKey[] = []
    const inbox: Inbox<undefined> = {
      async once(key, handle) {
        keys.push(key)
        await handle(undefined)
        return 'handled'
      },
    }
    await bus.consume(
      consume(
        work,
        { inbox },
        on(Happened, () => undefined),
      ),
    )
    const ids = ['x'.repeat(5_000), 'x'.repeat(5_001), 'a\0b', 'a\0c', 'a']
    // Where a task of Celery has its id, which no broker limits.
    for (const id of [...ids, ...ids]) await below.publish('', work.name, { n: 1 }, { type: Happened.type, headers: { task: 't', id } })
    await waitFor(() => keys.length === 10, { what: 'all of them' })
    expect(keys.slice(5)).toEqual(keys.slice(0, 5))
    expect(new Set(keys.map(({ id }) => id)).size).toBe(5)
    expect(keys.every(({ id }) => id.length <= 255 && !id.includes('\0'))).toBe(true)
    expect(keys[4]).toEqual({ queue: work.name, source: '', id: 'a' })
  })

  it('publishes what follows from a message once for a consumer with an inbox, though of every consumer', async () => {
    const { bus, Happened } = await writing({})
    const { Happened: Followed, work: following } = names()
    const { effects, instance } = await sqlite.place()
    const { inbox, write } = instance()
    // Without an inbox, so that each copy publishes again.
    for (const name of ['one', 'other']) {
      const source = queue(`test.${name}.${randomUUID()}`, { listensTo: [Happened] })
      await bus.consume(
        consume(
          source,
          on(Happened, ({ data }, context) => context.publish(Followed, data)),
        ),
      )
    }
    let taken = 0
    const counting: typeof inbox = { once: (...given) => inbox.once(...given).finally(() => taken++) }
    await bus.consume(
      consume(
        following,
        { inbox: counting },
        on(Followed, ({ data, id }, { transaction }) => write(transaction, `${data.n} ${id}`)),
      ),
    )
    for (let copy = 0; copy < 3; copy++) await bus.publish(Happened, { n: 7 }, { id: 'cause' })
    await waitFor(() => taken === 6, { what: 'all that follows' })
    expect(await effects()).toHaveLength(2)
  })

  it('tells an inbox that commits before its handler has ended', async () => {
    const { Happened, work } = names()
    const { bus, outcomes } = open()
    const hasty = {
      once: async (_: unknown, handle: (transaction: undefined) => Promise<void>) => (void handle(undefined), 'handled' as const),
    }
    await bus.consume(
      consume(
        work,
        { inbox: hasty, retry: exponential({ attempts: 1 }) },
        on(Happened, () => new Promise(setImmediate)),
      ),
    )
    await bus.publish(Happened, { n: 1 })
    await waitFor(() => outcomes.length === 1, { what: 'it to be given up' })
    expect(outcomes).toEqual(['dead-lettered'])
  })
})

it('holds what fails with Transient, and tries it again without the loss of an attempt', async () => {
  const { Happened, work } = names()
  const { bus, outcomes } = open()
  const attempts: number[] = []
  const handler = on(Happened, (_, { attempt }) => {
    if (attempts.push(attempt) < 4) throw new Transient('not now')
  })
  await bus.consume(consume(work, { retry: exponential({ attempts: 1 }) }, handler))
  await bus.publish(Happened, { n: 1 })
  await waitFor(() => outcomes.includes('handled'), { what: 'it to be handled' })
  expect(outcomes).toEqual(['kept', 'kept', 'kept', 'handled'])
  expect(attempts).toEqual([1, 1, 1, 1])
})

it.runIf(hasOwnPostgres())('goes on when its database has been away, with every message and every attempt', async () => {
  await using server = await startPostgres()
  const { instance, effects } = await postgresAt(server.url)
  const { inbox, write } = instance()
  const { Happened, work } = names()
  const { bus, outcomes } = open()
  const consumer = await bus.consume(
    consume(
      work,
      { inbox, concurrency: 2 },
      on(Happened, ({ data }, { transaction, attempt }) => write(transaction, `${data.n} ${attempt}`)),
    ),
  )
  await bus.publish(Happened, { n: 1 })
  await waitFor(() => outcomes.includes('handled'), { what: 'the first' })
  await server.crash()
  for (const n of [2, 3, 4]) await bus.publish(Happened, { n })
  await waitFor(() => outcomes.filter((outcome) => outcome === 'kept').length >= 6, { what: 'some tries' })
  expect(consumer.inFlight).toBe(2)
  await server.start()
  await waitFor(async () => (await effects()).length === 4, { what: 'all to be handled' })
  expect(await effects()).toEqual(['1 1', '2 1', '3 1', '4 1'])
  expect(new Set(outcomes)).toEqual(new Set(['handled', 'kept']))
})

it('gives back at once what it holds when it is stopped while its database is away', async () => {
  const nowhere = new Pool({ connectionString: 'postgres://127.0.0.1:1/none' })
  onTestFinished(() => nowhere.end())
  const { Happened, work } = names()
  const { bus, below, outcomes } = open()
  const handler = on(Happened, () => undefined)
  const consumer = await bus.consume(consume(work, { inbox: postgresInbox(nowhere) }, handler))
  await bus.publish(Happened, { n: 1 })
  await waitFor(() => outcomes.includes('kept'), { what: 'a try' })
  // Longer than this test may take.
  expect(await consumer.stop({ deadlineMs: 300_000 })).toBe(0)
  expect((await below.inspect(work)).messages).toBe(1)
})

it('refuses an inbox that is none, and one for a broadcast', () => {
  const { Happened, work } = names()
  const inbox = sqliteInbox(join(tempDir('inbox'), 'none.db'))
  const handler: Handler = on(Happened, () => undefined)
  expect(() => consume(work, { inbox: sqliteInbox as never }, handler)).toThrow(
    /inbox: expected an inbox, such as postgresInbox\(pool\), got a function/,
  )
  expect(() => broadcast({ inbox } as never, handler)).toThrow(/inbox: expected none: every instance handles every message/)
  const needing = on(Happened, (_, { transaction }: HandlerContext<DatabaseSync>) => transaction.exec('SELECT 1'))
  consume(work, { inbox }, needing)
  // @ts-expect-error without an inbox there is no transaction
  consume(work, needing)
})
