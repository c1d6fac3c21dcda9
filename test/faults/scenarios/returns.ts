/** F21, F22, F23 and F25: messages that come back, and what ends that. */
import { expect } from 'vitest'
import { consume, createBus, event, exponential, noRetry, on, queue, Reject } from '../../../src/index.ts'
import { startTcpProxy } from '../../support/tcp-proxy.ts'
import { waitFor } from '../../support/wait.ts'
import { faults, noFaults } from '../ledger.ts'
import { produce } from '../load.ts'
import { type Row, type Scale, World } from '../world.ts'
import type { Victim } from '../victim.ts'
import { through } from './network.ts'

const Task = event<{ id: string; deadly?: boolean }>('faults.task.v1')
const properties = { type: Task.type, contentType: 'application/json' }

/** Handlers that always fail, of a queue and of its dead letters; and two queues whose expired messages go to each other. */
export async function loops(victim: Victim, scale: Scale): Promise<Row> {
  const { count, attempts } = scale === 'long' ? { count: 1_000, attempts: 5 } : { count: 50, attempts: 3 }
  await using world = new World(victim.url)
  const connection = world.connect()
  const { name } = world.queue
  const [letters, parked, here, there] = ['dlq', 'dlq.dlq', 'here', 'there'].map((which) => `${name}.${which}`) as [
    string,
    string,
    string,
    string,
  ]
  const depth = async (...names: string[]): Promise<number> =>
    (await Promise.all(names.map((each) => connection.inspect(each)))).reduce((sum, { messages }) => sum + messages, 0)
  await using bus = createBus({ url: victim.url, onEvent: () => undefined })
  const failures = new Map([name, letters].map((each) => [each, 0]))
  for (const [each, retry] of [
    [name, exponential({ attempts, minMs: 20, maxMs: 20 })],
    [letters, noRetry],
  ] as const) {
    const fail = (): void => {
      failures.set(each, failures.get(each)! + 1)
      throw new Error('no')
    }
    await bus.consume(consume(queue(each, { type: 'classic' }), { concurrency: 20, retry, deadLetter: true }, on(Task, fail)))
  }
  await Promise.all(Array.from({ length: count }, (_, n) => connection.publish('', name, { id: `${n}` }, properties)))
  await waitFor(async () => (await depth(parked)) === count, { what: 'every message to be parked', deadlineMs: 60_000 })
  expect([...failures.values()]).toEqual([count * attempts, count])
  await bus.close()

  for (const [from, to] of [
    [here, there],
    [there, here],
  ] as const)
    await connection.declare(queue(from, { type: 'classic', messageTtlMs: 50, deadLetterExchange: '', deadLetterRoutingKey: to }))
  for (let n = 0; n < 20; n++) await connection.publish('', here, 'round and round')
  await waitFor(async () => (await depth(here, there)) === 0, { what: 'the circle to end' })
  for (const each of [name, letters, parked, here, there, `${name}.wait.20`]) await connection.delete(each)
  return {
    did: `${count} messages whose handlers fail ${attempts} times, and then that of their dead letters; 20 that expire in a circle of two queues`,
    seen: `${[...failures.values()].join(' and ')} attempts, ${count} parked behind the dead letters; the circle ended`,
  }
}

/** A message whose handler kills the process: given up after five deaths, and no other is touched. */
export async function poison(victim: Victim): Promise<Row> {
  const [before, after] = [20, 20]
  await using world = new World(victim.hasty ?? victim.url)
  const connection = world.connect()
  const { name } = world.queue
  const ids = Array.from({ length: before + 1 + after }, (_, n) => `p-${n}`)
  const deadly = ids[before]!
  await connection.declare(queue(name, { type: 'classic' }))
  for (const id of ids) await connection.publish('', name, { id, deadly: id === deadly }, properties)
  let deaths = 0
  for (;;) {
    const consumer = world.spawn('poisoned', `poisoned-${deaths}`)
    const givenUp = waitFor(async () => (await connection.inspect(`${name}.dlq`)).messages === 1, {
      what: 'it to be given up',
      deadlineMs: 60_000,
    })
    if ((await Promise.race([consumer.exit(), givenUp])) === true) break
    deaths++
  }
  const handled = (id: string): number =>
    Array.from({ length: deaths + 1 }, (_, n) => world.written(`poisoned-${n}`, `handled ${id}\n`)).reduce((sum, each) => sum + each, 0)
  await waitFor(async () => (await connection.inspect(name)).messages === 0, { what: 'the others to be handled' })
  const letter = await connection.get(`${name}.dlq`)
  expect(letter?.payload).toMatchObject({ id: deadly })
  await letter?.ack()
  expect(deaths).toBeLessThanOrEqual(5)
  expect(handled(deadly)).toBe(0)
  for (const each of [name, `${name}.dlq`]) await connection.delete(each)
  return { did: `one among ${ids.length}`, seen: `a dead letter after ${deaths} deaths` }
}

/** The connection is cut again and again while every message goes to the dead letters: between that publish and the ack, too. */
export async function cutLetters(victim: Victim, scale: Scale): Promise<Row> {
  const { count, cutsMade } = scale === 'long' ? { count: 5_000, cutsMade: 50 } : { count: 400, cutsMade: 5 }
  const concurrency = 20
  await using world = new World(victim.url)
  await using proxy = await startTcpProxy(victim.port)
  const connection = world.connect()
  const { name } = world.queue
  const bus = createBus({
    url: through(victim.hasty ?? victim.url, proxy.port),
    connection: { backoff: { minMs: 20, maxMs: 100 } },
    onEvent: () => undefined,
  })
  const refuse = (): never => {
    throw new Reject('not wanted')
  }
  await bus.consume(consume(queue(name, { type: 'classic' }), { concurrency, deadLetter: true }, on(Task, refuse)))
  const letters = async (): Promise<number> => (await connection.inspect(`${name}.dlq`)).messages
  const publishing = Promise.all(Array.from({ length: count }, (_, n) => connection.publish('', name, { id: `${n}` }, properties)))
  for (let cut = 1; cut <= cutsMade; cut++) {
    await waitFor(async () => (await letters()) >= (count * cut) / (cutsMade + 1), {
      what: 'dead letters to come',
      everyMs: 1,
      deadlineMs: 60_000,
    })
    proxy.cut()
  }
  await publishing
  const ids = new Set<string>()
  let taken = 0
  const allSeen = async (): Promise<boolean> => {
    for (let letter = await connection.get(`${name}.dlq`); letter; letter = await connection.get(`${name}.dlq`)) {
      ids.add((letter.payload as { id: string }).id)
      taken++
      await letter.ack()
    }
    return ids.size === count
  }
  await waitFor(allSeen, { what: 'every message among the dead letters', deadlineMs: 60_000 })
  await bus.close()
  await allSeen()
  // Those published whose confirm was lost, and those whose ack was.
  const bound = 2 * concurrency * cutsMade
  expect(taken - count).toBeLessThanOrEqual(bound)
  for (const each of [name, `${name}.dlq`]) await connection.delete(each)
  return {
    did: `${cutsMade} cuts while ${count} messages were rejected`,
    seen: `all ${count} among the dead letters, and ${taken - count} copies; at most ${bound} may be`,
  }
}

/** Handlers that take several times as long as a lease, in two processes: nobody takes what another is at. */
export async function longHandlers(victim: Victim, scale: Scale): Promise<Row> {
  const { count, handleMs } = scale === 'long' ? { count: 200, handleMs: 10_000 } : { count: 20, handleMs: 2_500 }
  await using world = new World(victim.hasty ?? victim.url)
  const ledger = world.ledger('producer')
  let left = count
  await produce({ connection: world.connect(), queue: world.queue, ledger, name: 'p', window: 20, more: () => left-- > 0 })
  const names = ['a', 'b'].map((letter) => `consumer-${letter}`)
  const consumers = names.map((name) => world.spawn('consumer', name, { PREFETCH: `${count / 2}`, HANDLE_MS: `${handleMs}` }))
  const acked = (): number => names.reduce((sum, name) => sum + world.written(name, 'acked'), 0)
  await waitFor(() => acked() >= count, { what: 'all to be handled', deadlineMs: 60_000 })
  for (const consumer of consumers) consumer.signal('SIGTERM')
  expect(await Promise.all(consumers.map((consumer) => consumer.exit()))).toEqual(consumers.map(() => ({ code: 0, signal: null })))
  ledger.write('end')
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  expect(verdict.duplicates).toBe(0)
  return { did: `${count} messages in two processes, ${handleMs} ms each, with a lease of 1 s`, verdict, seen: 'each was handled once' }
}
