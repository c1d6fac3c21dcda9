/** F24: messages that are published again and delivered again, and whose effect happens once. */
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import pg from 'pg'
import { expect } from 'vitest'
import type { Connection, Queue } from '../../../src/index.ts'
import type { Running } from '../../support/process.ts'
import { sharedPostgres } from '../../support/shared-postgres.ts'
import { waitFor } from '../../support/wait.ts'
import type { Reachable, Victim } from '../victim.ts'
import { type Row, type Scale, World } from '../world.ts'

const COPIES = 3
const CONSUMERS = 4
/** Of each. */
const CONCURRENCY = 4
const ROUND = 50

/** Each message published three times, to four processes that are killed, one after another, when they have committed and not yet acked. */
export async function effectsOnce(victim: Reachable & Pick<Victim, 'hasty'>, scale: Scale): Promise<Row> {
  const { count, kills } = scale === 'long' ? { count: 3_000, kills: 50 } : { count: 100, kills: 2 }
  await using world = new World(victim.hasty ?? victim.url)
  await using effects = await openEffects()
  await using fleet = startFleet(world, effects.url, kills)
  const connection = world.connect()
  let published = 0
  while (published < count || fleet.deaths() < kills) {
    await publish(connection, world.queue, published, (published += ROUND))
    await waitFor(async () => (await effects.total()) > published - 4 * ROUND, { what: 'consumers to keep up', deadlineMs: 60_000 })
  }
  let [settled, since] = [0, 0]
  const atRest = async (): Promise<boolean> => {
    const now = Object.values(fleet.outcomes()).reduce((sum, each) => sum + each, 0)
    if (now !== settled) [settled, since] = [now, performance.now()]
    // Acks may have reached the broker whose process died before it told of them; what it still held is lent to it for a while.
    const most = settled >= published * COPIES - kills * CONCURRENCY
    return most && performance.now() - since > (victim.leaseMs ?? 0) * 1.5 && (await connection.inspect(world.queue)).messages === 0
  }
  await waitFor(atRest, { what: 'every copy to be done with', deadlineMs: 60_000, everyMs: 100 }).catch((error: unknown) => {
    throw new Error(`${String(error)}; of ${published * COPIES}: ${JSON.stringify(fleet.outcomes())}`)
  })
  await fleet.stop()
  expect(await effects.not(1)).toEqual([])
  expect(await effects.total()).toBe(published)
  const { handled = 0, duplicate = 0, ...others } = fleet.outcomes()
  expect(others).toEqual({})
  // A process that died after a commit has told of nothing.
  expect(handled).toBeLessThanOrEqual(published - kills)
  return {
    did: `${published} messages published ${COPIES} times each, to ${CONSUMERS} processes; ${kills} of them killed between a commit and its ack`,
    seen: `each effect once in the database; ${duplicate} copies acked as duplicates; ${published - handled} effects whose process died before it told of their ack`,
  }
}

async function publish(connection: Connection, queue: Queue, from: number, to: number): Promise<void> {
  const ids = Array.from({ length: to - from }, (_, n) => `${from + n}`)
  const copies = Array.from({ length: COPIES }, () => ids).flat()
  const properties = { type: 'faults.task.v1', contentType: 'application/json' }
  await Promise.all(copies.map((id) => connection.publish(queue, { id }, { ...properties, messageId: id })))
}

export interface Effects extends AsyncDisposable {
  /** Of the database, for those that write them. */
  readonly url: string
  total(): Promise<number>
  ids(): Promise<string[]>
  /** Those that are there more or less often. */
  not(times: number): Promise<string[]>
}

/** A new table of them in PostgreSQL. */
export async function openEffects(): Promise<Effects> {
  const schema = `faults_${randomUUID().replaceAll('-', '')}`
  const url = new URL(await sharedPostgres())
  url.searchParams.set('options', `-c search_path=${schema}`)
  const pool = new pg.Pool({ connectionString: url.href, max: 1 })
  await pool.query(`CREATE SCHEMA ${schema}; CREATE TABLE effects (id text)`)
  const ids = async (sql: string): Promise<string[]> => (await pool.query<{ id: string }>(sql)).rows.map(({ id }) => id)
  return {
    url: url.href,
    total: async () => (await ids('SELECT id FROM effects')).length,
    ids: () => ids('SELECT id FROM effects'),
    not: (times) => ids(`SELECT id FROM effects GROUP BY id HAVING count(*) <> ${times}`),
    [Symbol.asyncDispose]: () => pool.end(),
  }
}

interface Fleet extends AsyncDisposable {
  readonly deaths: () => number
  /** How often each was told of. */
  readonly outcomes: () => Record<string, number>
  readonly stop: () => Promise<void>
}

/** As many processes as there are to be, another for each that dies; so many of them die. */
function startFleet(world: World, database: string, kills: number): Fleet {
  const names: string[] = []
  const alive = new Set<Running>()
  let deaths = 0
  let over = false
  const lane = async (): Promise<void> => {
    while (!over) {
      const name = `effects-${names.length}`
      // Each at another place.
      const dieAfter = names.length < kills ? { DIE_AFTER: `${5 + (names.length % 7)}` } : {}
      names.push(name)
      const running = world.spawn('effects', name, { DATABASE: database, CONCURRENCY: `${CONCURRENCY}`, ...dieAfter })
      alive.add(running)
      const exit = await running.exit({ deadlineMs: 600_000 })
      alive.delete(running)
      // A young one does not know yet what a SIGTERM is to mean.
      if (over) return
      expect(exit).toEqual({ code: null, signal: 'SIGKILL' })
      deaths++
    }
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    over = true
    for (const running of alive) running.signal(signal)
    await Promise.all(lanes)
  }
  const lanes = Array.from({ length: CONSUMERS }, lane)
  return {
    deaths: () => deaths,
    outcomes() {
      const lines = names
        .filter((name) => existsSync(world.file(name)))
        .flatMap((name) => readFileSync(world.file(name), 'utf8').split('\n').slice(0, -1))
      return Object.fromEntries([...Map.groupBy(lines, (line) => line.split(' ')[2] ?? '')].map(([outcome, all]) => [outcome, all.length]))
    },
    stop: () => end('SIGTERM'),
    [Symbol.asyncDispose]: () => end('SIGKILL'),
  }
}
