/** F3: who has left is gone from the broker's own lists at once, and who came is in them once. */
import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'omnibus'
import { expect } from 'vitest'
import { omnibus, userFolder } from '../../support/omnibus.ts'
import { freePort } from '../../support/ports.ts'
import { waitFor } from '../../support/wait.ts'
import type { Sample } from '../counted.ts'
import { queues } from '../fixtures/tree/contracts.ts'
import type { Victim } from '../victim.ts'
import type { Row, Scale } from '../world.ts'

/** Two web workers publish; two consumers in processes and two in threads have a connection to publish besides those to consume. */
const working = ({ toConsume = 1 }: Victim) => ({ connections: 6 + 4 * toConsume, consumers: 4 })
const GONE = { connections: 0, consumers: 0 }
const LIMIT_MS = 1_000

/** A tree of web workers and consumers is reloaded again and again, and stopped. */
export async function presence(victim: Victim, scale: Scale): Promise<Row> {
  const wanted = working(victim)
  const reloads = scale === 'long' ? 20 : 1
  const folder = userFolder('tree')
  cpSync(join(import.meta.dirname, '..', 'fixtures', 'tree'), folder, { recursive: true })
  for (const name of Object.keys(queues)) mkdirSync(join(folder, `ledger-${name}`))
  const [bind, probes] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
  await using counting = victim.count()
  await using master = omnibus(['serve'], { cwd: folder, env: { BIND: bind, PROBES: probes, BUS_URL: victim.url, OMNIBUS_LOG: 'json' } })
  await master.line(/Listening on/)

  /** How long after `at` the counts were what they then stayed, for as long as they may take to get there. */
  const settled = async (at: number, wanted: Omit<Sample, 'at'>): Promise<number> => {
    const since = (): readonly Sample[] => counting.samples().filter((sample) => sample.at >= at)
    await waitFor(() => (since().at(-1)?.at ?? 0) > at + LIMIT_MS, { what: 'the broker to be counted on' })
    const other = since().findLastIndex(
      ({ connections, consumers }) => connections !== wanted.connections || consumers !== wanted.consumers,
    )
    const right = since()[other + 1]
    expect(right, `from ${JSON.stringify(since().slice(-10))}, wanted ${JSON.stringify(wanted)}`).toBeDefined()
    return Math.max(0, (right?.at ?? Infinity) - at)
  }
  await waitFor(
    () =>
      counting
        .samples()
        .slice(-1)
        .some((last) => isLike(last, wanted)),
    { what: 'all to be there' },
  )
  let slowest = 0
  for (let n = 0; n < reloads; n++) {
    const from = master.lines.length
    master.signal('SIGHUP')
    const { time } = JSON.parse(await master.line(/"Reloaded"/, { from, deadlineMs: 60_000 })) as { time: number }
    slowest = Math.max(slowest, await settled(time, wanted))
  }
  master.signal('SIGTERM')
  expect(await master.exit()).toEqual({ code: 0, signal: null })
  const last = await settled(Date.now(), GONE)
  await using connection = connect(victim.url)
  for (const queue of Object.values(queues)) await connection.delete(queue)
  expect(Math.max(slowest, last)).toBeLessThanOrEqual(LIMIT_MS)
  return {
    did: `${reloads} reloads and a stop of a tree, counted by the broker every 50 ms`,
    seen: `${wanted.connections} connections and ${wanted.consumers} consumers ${Math.round(slowest)} ms after a reload, at the slowest, and none ${Math.round(last)} ms after the stop`,
  }
}

const isLike = (sample: Sample, { connections, consumers }: Omit<Sample, 'at'>): boolean =>
  sample.connections === connections && sample.consumers === consumers
