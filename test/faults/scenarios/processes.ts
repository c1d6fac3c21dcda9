/** F1 to F3: clients are killed and stopped. */
import { expect } from 'vitest'
import type { Running } from '../../support/process.ts'
import { waitFor } from '../../support/wait.ts'
import { check, faults, noFaults } from '../ledger.ts'
import { produce } from '../load.ts'
import { type Row, type Scale, World } from '../world.ts'
import type { Reachable, Victim } from '../victim.ts'

const PREFETCH = 50

/** Four consumers, one of which is killed and replaced again and again, in the middle of a share of the messages. */
export async function consumerStorm(victim: Reachable & Pick<Victim, 'hasty'>, scale: Scale): Promise<Row> {
  const { kills, count } = scale === 'long' ? { kills: 40, count: 20_000 } : { kills: 4, count: 1_000 }
  // The end of a lease is waited for, which is half a minute as it is by default.
  await using world = new World(scale === 'long' ? victim.url : (victim.hasty ?? victim.url))
  const ledger = world.ledger('producer')
  const consumers: Running[] = []
  let born = 0
  const start = (): Running => world.spawn('consumer', `consumer-${born++}`, { PREFETCH: `${PREFETCH}` })
  for (let i = 0; i < 4; i++) consumers.push(start())
  const connection = world.connect()
  await connection.declare(world.queue)
  await Promise.all(consumers.map((consumer) => consumer.line('consuming')))
  let allowed = 0
  const more = async (): Promise<boolean> => {
    await waitFor(() => ledger.count('sent') < allowed || allowed >= count, { what: 'the next kill', everyMs: 5, deadlineMs: 60_000 })
    return ledger.count('sent') < count
  }
  const producing = produce({ connection, queue: world.queue, ledger, name: 'p', window: 50, more })
  const share = Math.ceil(count / kills)
  const handled = (): number => Array.from({ length: born }, (_, n) => world.written(`consumer-${n}`, 'handled')).reduce((a, b) => a + b)
  for (let kill = 0; kill < kills; kill++) {
    allowed += share
    await waitFor(() => handled() > allowed - share / 2, { what: 'half a share to be handled', deadlineMs: 60_000 })
    const at = Math.floor(Math.random() * consumers.length)
    consumers[at]!.signal('SIGKILL')
    await consumers[at]!.exit()
    await consumers[at]![Symbol.asyncDispose]()
    consumers[at] = start()
  }
  await producing
  ledger.write('end')
  await Promise.all(consumers.map((consumer) => consumer.line('consuming')))
  await waitFor(() => check(world.folder).lost.length === 0, { what: 'all to be handled', deadlineMs: 60_000, everyMs: 200 })
  for (const consumer of consumers) consumer.signal('SIGTERM')
  expect(await Promise.all(consumers.map((consumer) => consumer.exit()))).toEqual(consumers.map(() => ({ code: 0, signal: null })))
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  expect(verdict.duplicates).toBeLessThanOrEqual(PREFETCH * kills)
  return {
    did: `4 consumers, ${kills} kills, ${verdict.confirmed} messages`,
    verdict,
    seen: `at most ${PREFETCH * kills} may come twice`,
  }
}

/** Producers are killed somewhere in their publish loop. */
export async function producerKills(victim: Reachable, scale: Scale): Promise<Row> {
  const kills = scale === 'long' ? 50 : 3
  await using world = new World(victim.url)
  for (let kill = 0; kill < kills; kill++) {
    const name = `producer-${kill}`
    const producer = world.spawn('producer', name)
    const enough = 50 + Math.floor(Math.random() * 300)
    await waitFor(() => world.written(name, 'confirmed') > enough, { what: `${enough} confirms`, everyMs: 5, deadlineMs: 30_000 })
    producer.signal('SIGKILL')
    await producer.exit()
  }
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  expect(verdict.duplicates).toBe(0)
  return {
    did: `${kills} kills, ${verdict.confirmed} messages`,
    verdict,
    seen: `${verdict.recovered} were kept though never confirmed`,
  }
}

/** A consumer with a hundred handlers at work is told to stop: once it has the time they need, once it has not. */
export async function gracefulStop(victim: Reachable, scale: Scale): Promise<Row> {
  const rounds = scale === 'long' ? 5 : 1
  let [given, slowest] = [0, 0]
  await using world = new World(victim.url)
  const ledger = world.ledger('producer')
  const connection = world.connect()
  let left = 0
  for (let round = 0; round < rounds; round++) {
    left = 250
    await produce({ connection, queue: world.queue, ledger, name: `p${round}`, window: 50, more: () => left-- > 0 })
    const stopped = async (name: string, env: Record<string, string>): Promise<void> => {
      const consumer = world.spawn('consumer', name, { PREFETCH: '100', ...env })
      await waitFor(() => world.written(name, 'delivered') >= 100, { what: 'a hundred handlers at work' })
      const at = performance.now()
      consumer.signal('SIGTERM')
      expect(await consumer.exit()).toEqual({ code: 0, signal: null })
      slowest = Math.max(slowest, performance.now() - at)
    }
    await stopped(`within-${round}`, { HANDLE_MS: '700' })
    const within = `within-${round}`
    expect([world.written(within, 'handled'), world.written(within, 'acked')]).toEqual(Array(2).fill(world.written(within, 'delivered')))
    await stopped(`past-${round}`, { HANDLE_MS: '600000', GRACE_MS: '300' })
    expect(world.written(`past-${round}`, 'handled')).toBe(0)
    given += world.written(`past-${round}`, 'delivered')
  }
  ledger.write('end')
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  expect({ duplicates: verdict.duplicates, handled: verdict.handled }).toEqual({ duplicates: 0, handled: 250 * rounds })
  return {
    did: `${rounds * 2} stops with 100 handlers at work, half of them past their grace`,
    verdict,
    seen: `${given} unfinished were given back and each handled once; exit code 0, slowest stop ${Math.round(slowest)} ms`,
  }
}
