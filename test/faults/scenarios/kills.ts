/** F4: any process of a tree is killed, by a seed, and in the end the master. */
import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Status, UnitReport } from '../../../src/supervisor/status.ts'
import { omnibus, userFolder } from '../../support/omnibus.ts'
import { freePort } from '../../support/ports.ts'
import type { Running } from '../../support/process.ts'
import { signalQuietly } from '../../support/processes.ts'
import { seeded } from '../../support/random.ts'
import { waitFor } from '../../support/wait.ts'
import { ask } from '../../worker/load.ts'
import { check, faults, noFaults, openLedger, summed, type Verdict } from '../ledger.ts'
import type { Row, Scale } from '../world.ts'

const CLIENTS = 8
const UNITS = ['web', 'alone', 'together', 'hooks', 'broker']
/** What a process may have in hand when it is killed: `concurrency`, of each of two threads. */
const IN_HAND = 20

interface Reached {
  readonly verdict: Verdict
  readonly answered: number
  readonly refused: number
  readonly kills: ReadonlyMap<string, number>
}

export async function treeKills(scale: Scale): Promise<Row> {
  const given = process.env['OMNIBUS_SEED']
  const seed = given === undefined ? Date.now() % 1_000_000 : Number(given)
  const runs =
    scale === 'long'
      ? ([
          ['process', 150],
          ['thread', 50],
        ] as const)
      : ([['process', 10]] as const)
  const reached: Reached[] = []
  for (const [kind, count] of runs) {
    try {
      reached.push(await killed(kind, count, seeded(seed)))
    } catch (error) {
      throw new Error(`with OMNIBUS_SEED=${seed}, web workers of kind ${kind}: ${String(error)}`, { cause: error })
    }
  }
  const total = (of: (one: Reached) => number): number => reached.reduce((sum, one) => sum + of(one), 0)
  const verdict = summed(reached.map((one) => one.verdict))
  const kinds = UNITS.map((unit) => `${total(({ kills }) => kills.get(unit) ?? 0)} ${unit}`)
  return {
    did: `by seed ${seed}: ${kinds.join(', ')} and at last the master, under ${total(({ answered }) => answered)} requests, ${verdict.confirmed} messages`,
    verdict,
    seen: `${total(({ refused }) => refused)} requests cut off by the kill of their worker; each kill counted as a restart; nothing alive 1 s after the master's end; the next one did the rest`,
  }
}

async function killed(kind: 'process' | 'thread', count: number, random: () => number): Promise<Reached> {
  const folder = userFolder('tree')
  cpSync(join(import.meta.dirname, '..', 'fixtures', 'tree'), folder, { recursive: true })
  const ledgers = ['alone', 'together'].map((name) => join(folder, `ledger-${name}`))
  for (const ledger of ledgers) mkdirSync(ledger)
  const [bind, probes] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
  const start = async (): Promise<Running> => {
    const running = omnibus(['serve'], { cwd: folder, env: { BIND: bind, PROBES: probes, KIND: kind } })
    await running.line(/Listening on/)
    return running
  }
  const status = async (): Promise<Status> => (await fetch(`http://${probes}/status`)).json() as Promise<Status>
  const allReady = async (): Promise<readonly UnitReport[]> =>
    waitFor(async () => [await status()].find(({ ready, degraded }) => ready && !degraded)?.units, {
      what: 'all to be ready',
      deadlineMs: 40_000,
    })

  await using master = await start()
  using traffic = startTraffic(`http://${bind}`, ledgers)
  const kills = new Map<string, number>()
  const gone = new Set<number>()
  for (let n = 0; n < count;) {
    await pause(50 + random() * 250)
    // Of a kind first: otherwise the broker, of which there is one, would hardly ever be hit.
    const wanted = UNITS[Math.floor(random() * UNITS.length)] ?? ''
    const victims = (await status()).units.filter(({ unit, pid }) => unit === wanted && pid !== undefined && !gone.has(pid))
    const victim = victims[Math.floor(random() * victims.length)]
    if (victim?.pid === undefined || !signalQuietly(victim.pid, 'SIGKILL')) continue
    gone.add(victim.pid)
    kills.set(wanted, (kills.get(wanted) ?? 0) + 1)
    n++
  }
  const units = await allReady()
  for (const unit of UNITS) {
    const restarts = units.filter((one) => one.unit === unit).reduce((sum, one) => sum + one.restarts, 0)
    expect(restarts, `restarts of ${unit}`).toBe(kills.get(unit) ?? 0)
  }
  // Each of them had at most one request with the worker that was killed; the master's end is yet to come.
  expect(traffic.refused()).toBeLessThanOrEqual((kills.get('web') ?? 0) * CLIENTS)
  const refused = traffic.refused()
  const answered = traffic.answered()
  await waitFor(() => traffic.answered() > answered + 50, { what: 'requests to be answered again' })

  master.signal('SIGKILL')
  await master.exit()
  await waitFor(() => master.processes().length === 0, { what: 'every process to be gone', deadlineMs: 1_000, everyMs: 10 })
  await traffic.stop()
  await using next = await start()
  await waitFor(() => ledgers.every((ledger) => check(ledger).lost.length === 0), {
    what: 'every confirmed message to be handled',
    deadlineMs: 40_000,
    everyMs: 200,
  }).catch(() => undefined)
  next.signal('SIGTERM')
  expect(await next.exit()).toEqual({ code: 0, signal: null })
  const verdict = summed(ledgers.map((ledger) => check(ledger)))
  expect(faults(verdict)).toEqual(noFaults)
  expect(verdict.confirmed).toBeGreaterThan(100)
  // A message of a broker or a consumer that is killed comes again.
  const bound = (['alone', 'together', 'broker'].reduce((sum, unit) => sum + (kills.get(unit) ?? 0), 0) + 1) * IN_HAND * 4
  expect(verdict.duplicates).toBeLessThanOrEqual(bound)
  return { verdict, answered: traffic.answered(), refused, kills }
}

interface Traffic extends Disposable {
  readonly answered: () => number
  readonly refused: () => number
  stop(): Promise<void>
}

/** Clients that never try twice, and of whose requests half publish; what became of a message stands in each ledger. */
function startTraffic(url: string, ledgers: readonly string[]): Traffic {
  const writers = ledgers.map((ledger) => openLedger(join(ledger, 'producer')))
  const write = (event: 'sent' | 'confirmed' | 'failed' | 'end', id?: string): void => {
    for (const writer of writers) writer.write(event, id)
  }
  let [answered, refused, over] = [0, 0, false]
  const client = async (name: number): Promise<void> => {
    for (let seq = 0; !over; seq++) {
      const id = `client.${name}-${seq}`
      const publishes = seq % 2 === 0
      if (publishes) write('sent', id)
      try {
        await ask(publishes ? `${url}/?id=${id}` : url)
        answered += 1
        if (publishes) write('confirmed', id)
      } catch (error) {
        if (publishes) write('failed', id)
        // A publish may be refused while the broker is away.
        if (!String(error).includes('503')) refused += 1
      }
      await pause(10)
    }
  }
  const running = Array.from({ length: CLIENTS }, (_, name) => client(name))
  return {
    answered: () => answered,
    refused: () => refused,
    async stop() {
      over = true
      await Promise.all(running)
      write('end')
    },
    [Symbol.dispose]() {
      over = true
      for (const writer of writers) writer[Symbol.dispose]()
    },
  }
}
