/** F15, F16, F17 and F19: the broker says no, for a while or for good. */
import { inspect } from 'node:util'
import { expect } from 'vitest'
import { type ConnectionEvent, PublishError, queue, TopologyError } from '../../../src/index.ts'
import { type Clock, systemClock } from '../../../src/core/clock.ts'
import { waitFor, within } from '../../support/wait.ts'
import { faults, noFaults } from '../ledger.ts'
import { consume, produce } from '../load.ts'
import { type Row, type Scale, World } from '../world.ts'
import type { Victim } from '../victim.ts'

/** A memory or disk alarm: publishes wait or are rejected in time, consuming goes on, and all goes on when it is over. */
export async function blocked(victim: Victim, scale: Scale): Promise<Row> {
  const rounds = scale === 'long' ? 2 : 1
  if (!victim.alarm) throw new Error('this broker blocks nobody')
  await using alarm = await victim.alarm()
  await using world = new World(alarm.url)
  const ledger = world.ledger('producer')
  const events: string[] = []
  const publisher = world.connect({ onEvent: ({ type }) => void events.push(type) })
  const seen = (type: ConnectionEvent['type']): number => events.filter((event) => event === type).length
  let closedIn = 0
  for (let round = 0; round < rounds; round++) {
    let left = 100
    await produce({ connection: publisher, queue: world.queue, ledger, name: `before-${round}`, window: 20, more: () => left-- > 0 })
    await alarm.raise()
    // RabbitMQ tells a connection when it publishes.
    const waiting = publisher.publish(world.queue, `during-${round}`)
    ledger.write('sent', `during-${round}`)
    await waitFor(() => seen('blocked') === round + 1, { what: 'the publisher to be told' })
    const refused = await publisher.publish(world.queue, `late-${round}`, { deadlineMs: 300 }).catch((error: unknown) => error)
    expect(refused).toMatchObject({ reason: 'timeout', message: expect.stringContaining('blocks publishers') })
    expect(refused).toBeInstanceOf(PublishError)

    const own = world.ledger(`consumer-${round}`)
    const connection = world.connect({ onEvent: ({ type }) => void (type === 'up' && own.write('up')) })
    await consume({ connection, queue: world.queue, ledger: own, prefetch: 10 })
    await waitFor(() => own.count('acked') >= 100, { what: 'consuming to go on' })

    const stranger = world.connect()
    const unsent = stranger.publish(world.queue, `unsent-${round}`, { deadlineMs: 500 }).catch((error: unknown) => error)
    await unsent
    const at = performance.now()
    await within(stranger.close({ deadlineMs: 200 }), { what: 'close while blocked', deadlineMs: 30_000 })
    closedIn = Math.max(closedIn, performance.now() - at)

    await alarm.clear()
    await waitFor(() => seen('unblocked') === round + 1, { what: 'the publisher to be told again' })
    expect(await waiting).toEqual({ routed: true })
    ledger.write('confirmed', `during-${round}`)
    // Those whose deadline came first may have been taken all the same.
    for (const id of [`late-${round}`, `unsent-${round}`]) {
      ledger.write('sent', id)
      ledger.write('failed', id)
    }
    await connection.close()
  }
  expect(seen('down')).toBe(0)
  ledger.write('end')
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  return {
    did: `${rounds} alarms`,
    verdict,
    seen: `a publish waited or was rejected at its deadline, consumers went on, close() took ${Math.round(closedIn)} ms at the longest`,
  }
}

/** Somebody deletes the queue while it is used: its consumer makes it anew. */
export async function deletedQueue(victim: Victim, scale: Scale): Promise<Row> {
  const times = scale === 'long' ? 20 : 2
  await using world = new World(victim.url)
  const admin = world.connect()
  const publisher = world.connect()
  const cancelled: string[] = []
  const own = world.ledger('consumer')
  const seen = new Set<string>()
  const connection = world.connect({
    onEvent: (event) => {
      if (event.type === 'up') own.write('up')
      if (event.type === 'cancelled') cancelled.push(event.queue)
    },
  })
  const consumer = await connection.consume(
    world.queue,
    async (delivery) => {
      seen.add(delivery.text())
      own.write('handled', delivery.text())
      if (await delivery.ack()) own.write('acked', delivery.text())
    },
    { prefetch: 20 },
  )
  let [slowest, gone, flowing] = [0, 0, true]
  const load = Promise.all(
    Array.from({ length: 10 }, async (_, lane) => {
      for (let n = 0; flowing; n++) {
        const id = `load${lane}-${n}`
        own.write('sent', id)
        // With the queue, it goes: that is no loss of the broker's.
        await publisher.publish('', world.queue.name, id).catch(() => gone++)
      }
    }),
  )
  for (let n = 0; n < times; n++) {
    const before = seen.size
    await waitFor(() => seen.size > before + 50, { what: 'messages to flow' })
    const at = performance.now()
    await admin.delete(world.queue.name)
    await waitFor(() => cancelled.length === n + 1, { what: 'the end to be told' })
    await waitFor(() => consumer.subscribed, { what: 'the subscription' })
    slowest = Math.max(slowest, performance.now() - at)
  }
  flowing = false
  await load
  const ledger = world.ledger('producer')
  let left = 200
  await produce({ connection: publisher, queue: world.queue, ledger, name: 'after', window: 20, more: () => left-- > 0 })
  ledger.write('end')
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  expect(ledger.count('confirmed')).toBe(200)
  return {
    did: `${times} times under load`,
    verdict,
    seen: `its consumer was told each time and back in ${Math.round(slowest)} ms at the slowest; ${gone} publishes in between were rejected as unroutable`,
  }
}

/** Ten times as fast for what waits, such as between attempts: those grow from half a second to half a minute. */
const hurried: Clock = { ...systemClock, after: (ms, callback, options) => systemClock.after(ms / 10, callback, options) }

/** Declared again with other arguments: one clear error, and nothing else is touched. */
export async function otherArguments(victim: Victim): Promise<Row> {
  await using world = new World(victim.url)
  const events: ConnectionEvent[] = []
  const connection = world.connect({ clock: hurried, onEvent: (event) => void events.push(event) })
  const handled: string[] = []
  await connection.consume(world.queue, async (delivery) => {
    handled.push(delivery.text())
    await delivery.ack()
  })
  const other = queue(world.queue.name, { type: 'classic', maxLength: 7 })
  const attempts = [() => connection.declare(other), () => connection.consume(other, () => undefined), () => connection.publish(other, 'x')]
  for (const attempt of attempts) {
    const error: unknown = await attempt().then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(TopologyError)
    expect(error).toMatchObject({ replyCode: 406 })
    expect(String(error)).toContain(world.queue.name)
    expect(String(error)).toContain('x-max-length')
  }
  await connection.publish(world.queue, 'still')
  await waitFor(() => handled.includes('still'), { what: 'the other channels to go on' })
  expect(events.filter(({ type }) => type !== 'up')).toEqual([])

  // The same while a consumer is at work: it is told at each attempt.
  const admin = world.connect()
  await admin.delete(world.queue)
  await admin.declare(other)
  const failures = (): ConnectionEvent[] => events.filter(({ type }) => type === 'resubscribe-failed')
  await waitFor(() => failures().length === 3, { what: 'three attempts', deadlineMs: 30_000 })
  for (const failure of failures()) expect(inspect(failure)).toContain('x-max-length')
  await admin.delete(world.queue)
  const probe = async (): Promise<boolean> => {
    await connection.publish('', world.queue.name, 'again').catch(() => undefined)
    return handled.includes('again')
  }
  await waitFor(probe, { what: 'the consumer, once it can', deadlineMs: 60_000, everyMs: 200 })
  expect(events.filter(({ type }) => type === 'down')).toEqual([])
  return {
    did: 'declare, consume and publish; and behind the back of a consumer',
    seen: 'each rejects with 406 and the argument; other channels live; the consumer kept trying, and came back once it could',
  }
}

/** Nothing that is said about a refused login holds the password; once it is right, the connection comes by itself. */
export async function wrongPassword(victim: Victim): Promise<Row> {
  const secret = 'canary-pa55/w@rd'
  const url = new URL(victim.url)
  url.password = encodeURIComponent(secret)
  await using world = new World(url.href)
  const said: unknown[] = []
  const connection = world.connect({ deadlineMs: 5_000, backoff: { minMs: 50, maxMs: 1_000 }, onEvent: (event) => void said.push(event) })
  const refused = await connection.ready().catch((error: unknown) => error)
  said.push(refused)
  expect(refused).toMatchObject({ code: 'ERR_OMNIBUS_CONNECTION', fatal: true })
  said.push(await connection.publish(world.queue, 'x', { deadlineMs: 200 }).catch((error: unknown) => error))
  said.push(await connection.consume(world.queue, () => undefined).catch((error: unknown) => error))
  said.push(await connection.declare(world.queue).catch((error: unknown) => error))
  said.push(connection)
  const text = said.map((thing) => `${String(thing)} ${inspect(thing, { depth: 20, showHidden: true })}`).join('\n')
  for (const spelling of [secret, encodeURIComponent(secret), url.password, 'canary']) expect(text).not.toContain(spelling)
  let recovered = 'the user and its password cannot be changed while it runs'
  if (victim.changePassword) {
    await victim.changePassword(secret)
    try {
      await connection.ready({ deadlineMs: 30_000 })
      recovered = 'once the password was right, the connection came by itself'
    } finally {
      await victim.changePassword('guest')
    }
  }
  return {
    did: 'ready, publish, consume, declare',
    seen: `each rejects as refused for good; the password is in none of ${text.length} characters of errors and events; ${recovered}`,
  }
}
