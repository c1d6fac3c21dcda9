/** F9 to F11: the broker is killed, or restarted in an orderly way, while messages flow. */
import { expect } from 'vitest'
import { connect } from '../../../src/index.ts'
import { startRedis } from '../../support/redis.ts'
import { startSqsProcess } from '../../support/sqs.ts'
import { waitFor } from '../../support/wait.ts'
import { faults, noFaults } from '../ledger.ts'
import { consume, produce } from '../load.ts'
import { type Row, type Scale, World } from '../world.ts'
import type { Reachable, Victim } from '../victim.ts'

const WINDOW = 100
const PREFETCH = 50

export const brokerKills = (victim: Victim, scale: Scale): Promise<Row> => losses(victim, 'kill', scale === 'long' ? victim.restarts : 1)

export const brokerRestarts = (victim: Victim, scale: Scale): Promise<Row> => losses(victim, 'stop', scale === 'long' ? victim.restarts : 1)

/** A Redis that syncs once a second, killed: what it has answered is in the page cache, and only a loss of power would take it. */
export async function lateSyncs(_: Victim, scale: Scale): Promise<Row> {
  await using server = await startRedis(['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', ''])
  const warnings: string[] = []
  await using connection = connect(server.url, {
    onEvent: (event) => void (event.type === 'warning' && warnings.push(String(event.reason))),
  })
  await connection.ready()
  await waitFor(() => warnings.some((warning) => warning.includes('appendfsync everysec')), { what: 'a warning' })
  const row = await losses(server, 'kill', scale === 'long' ? 10 : 1)
  return { ...row, seen: `${row.seen}; a warning at connect says that a loss of power takes the last second` }
}

/** The endpoint of SQS, for which an emulator stands that keeps each message by itself, and so takes some hundred a second. */
export async function endpointKills(_: Reachable, scale: Scale): Promise<Row> {
  await using emulator = await startSqsProcess()
  return await losses({ ...emulator, url: `${emulator.url}&lease_seconds=2` }, 'kill', scale === 'long' ? 10 : 1, 100)
}

/** `enough` messages flow before and after each. */
async function losses(
  victim: Pick<Victim, 'url' | 'kill' | 'stop' | 'start'>,
  how: 'kill' | 'stop',
  times: number,
  enough = 500,
): Promise<Row> {
  await using world = new World(victim.url)
  const ledger = world.ledger('producer')
  const publisher = world.connect()
  const consumers = await Promise.all(
    ['a', 'b'].map(async (name) => {
      const own = world.ledger(`consumer-${name}`)
      const connection = world.connect({ onEvent: ({ type }) => void (type === 'up' && own.write('up')) })
      await consume({ connection, queue: world.queue, ledger: own, prefetch: PREFETCH })
      return { connection, own }
    }),
  )
  const handled = (): number => consumers.reduce((sum, { own }) => sum + own.count('handled'), 0)
  let flowing = true
  const more = async (): Promise<boolean> => {
    // No more than consumers keep up with: a backlog would only make the broker's restart slower.
    const keepsUp = (): boolean => ledger.count('confirmed') - handled() < 1_000
    await waitFor(() => keepsUp() || !flowing, { what: 'consumers to keep up', deadlineMs: 120_000 })
    return flowing
  }
  const producing = produce({ connection: publisher, queue: world.queue, ledger, name: 'p', window: WINDOW, more })
  const flows = async (what: string): Promise<void> => {
    const before = { confirmed: ledger.count('confirmed'), handled: handled() }
    const flow = (): boolean => ledger.count('confirmed') > before.confirmed + enough && handled() > before.handled + enough
    await waitFor(flow, { what, deadlineMs: 120_000 })
  }
  let slowest = 0
  await flows('messages to flow')
  for (let n = 0; n < times; n++) {
    await victim[how]()
    await victim.start()
    const at = performance.now()
    const before = consumers.map(({ own }) => own.count('handled'))
    await waitFor(() => consumers.every(({ own }, i) => own.count('handled') > before[i]!), {
      what: `every consumer to go on after ${how} ${n + 1}`,
      deadlineMs: 60_000,
      everyMs: 5,
    })
    slowest = Math.max(slowest, performance.now() - at)
    await flows('messages to flow again')
  }
  flowing = false
  await producing
  ledger.write('end')
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  expect(ledger.count('failed')).toBe(0)
  // Only what was under way can come twice: unconfirmed and sent again, or handled and not acked.
  const bound = (WINDOW + consumers.length * PREFETCH) * times
  expect(verdict.duplicates).toBeLessThanOrEqual(bound)
  return {
    did: `${times} times while ${verdict.confirmed} messages flowed`,
    verdict,
    seen: `at most ${bound} may come twice; every consumer went on ${Math.round(slowest)} ms after the port answered, at the slowest`,
  }
}
