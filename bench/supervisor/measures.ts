/** What is measured, each of one contestant that is started for it and stopped after it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { waitFor } from '../../test/support/wait.ts'
import { askUntil, type Outcomes } from './client.ts'
import type { Contestant, Wanted } from './contestants.ts'
import { get, startServer, workersOf } from './server.ts'
import { type Speed, wrk } from './wrk.ts'

export interface Driven extends Speed {
  /** Of all its processes, per request. µs. */
  readonly cpuMicros: number
}

/** MiB, of each case. */
type Sizes = readonly number[]
type Reloaded = Readonly<Record<'newConnections' | 'keepAlive', Outcomes & { reloads: number }>>

/** Of one run. */
export interface Values {
  readonly speed: Driven
  readonly express: Driven
  readonly start: number
  readonly memory: Sizes
  /** Null: it was not replaced. */
  readonly hang: number | null
  readonly reload: Reloaded
}

export type Measure = keyof Values

export const measures: { readonly [M in Measure]: (contestant: Contestant) => Promise<Values[M]> } = {
  speed: (contestant) => speed(contestant, 'plain'),
  express: (contestant) => speed(contestant, 'express'),
  start,
  memory: allSizes,
  hang,
  reload: async (contestant) => ({ newConnections: await reloads(contestant, false), keepAlive: await reloads(contestant, true) }),
}

const TABLE_MB = 50
export const MEMORY_CASES: readonly { readonly workers: number; readonly title: string; readonly hasTable?: true }[] = [
  ...[1, 2, 4, 8].map((workers) => ({ workers, title: workers === 1 ? '1 worker' : String(workers) })),
  { workers: 8, title: `8, ${TABLE_MB} MiB table`, hasTable: true },
]

const WARM_S = 2
const DRIVEN_S = 4
const TRAFFIC_S = 3
const SETTLE_MS = 3_000
/** As far as there is such a setting. */
export const HANG_LIMIT_MS = 2_000
const HANG_WATCHED_MS = 15_000
const RELOADS = 5
const RELOAD_REQUESTS = 20_000

async function speed(contestant: Contestant, app: Wanted['app']): Promise<Driven> {
  await using server = await startServer(contestant, { app, workers: 2 })
  await wrk(server.url, WARM_S)
  const before = server.cpuMs()
  const found = await wrk(server.url, DRIVEN_S)
  return { ...found, cpuMicros: ((server.cpuMs() - before) * 1_000) / found.requests }
}

/** From the command to the first 200, with two workers. Milliseconds. */
async function start(contestant: Contestant): Promise<number> {
  await using server = await startServer(contestant, { app: 'plain', workers: 2 })
  return server.firstAnswerMs
}

async function allSizes(contestant: Contestant): Promise<Sizes> {
  const folder = mkdtempSync(join(tmpdir(), 'omnibus-bench-table-'))
  const table = join(folder, 'table')
  writeFileSync(table, Buffer.alloc(TABLE_MB * 2 ** 20, 1))
  const sizes: number[] = []
  for (const { workers, hasTable } of MEMORY_CASES) sizes.push(await memory(contestant, workers, hasTable && table))
  rmSync(folder, { recursive: true })
  return sizes
}

/** Of the whole tree, after some seconds of traffic and when all is quiet again. MiB. */
async function memory(contestant: Contestant, workers: number, table?: string): Promise<number> {
  await using server = await startServer(contestant, { app: 'plain', workers, ...(table !== undefined && { table }) })
  const seen = new Set<string>()
  const all = async (): Promise<boolean> => {
    for (const worker of await workersOf(server.url)) seen.add(worker)
    return seen.size >= workers
  }
  await waitFor(all, { what: `${workers} workers of ${contestant.name}`, deadlineMs: 30_000 })
  await wrk(server.url, TRAFFIC_S)
  await pause(SETTLE_MS)
  return server.pssMb()
}

/** From the request that blocks one of two workers to the first answer of its successor. Milliseconds. */
async function hang(contestant: Contestant): Promise<number | null> {
  if (!contestant.replacesHung) return null
  await using server = await startServer(contestant, { app: 'plain', workers: 2, hangMs: HANG_LIMIT_MS })
  const before = new Set<string>()
  const both = async (): Promise<boolean> => {
    for (const worker of await workersOf(server.url)) before.add(worker)
    return before.size >= 2
  }
  await waitFor(both, { what: 'two workers' })
  // Let it be seen that all is well.
  await pause(1_000)
  const began = performance.now()
  get(`${server.url}/block`, HANG_WATCHED_MS).catch(() => {})
  const isReplaced = async (): Promise<boolean> => [...(await workersOf(server.url))].some((worker) => !before.has(worker))
  try {
    await waitFor(isReplaced, { what: 'the successor', deadlineMs: HANG_WATCHED_MS, everyMs: 10 })
    return performance.now() - began
  } catch {
    return null
  }
}

/** Rolling reloads, one after the other, under clients that never retry. */
async function reloads(contestant: Contestant, keepAlive: boolean): Promise<Outcomes & { reloads: number }> {
  await using server = await startServer(contestant, { app: 'plain', workers: 2 })
  let done = 0
  let over = false
  const reloading = async (): Promise<void> => {
    while (!over) {
      const before = await workersOf(server.url)
      await server.reload()
      const isNew = async (): Promise<boolean> => {
        const now = await workersOf(server.url)
        return now.size >= 2 && [...now].every((worker) => !before.has(worker))
      }
      // A contestant that has lost its way is reloaded again all the same.
      await waitFor(isNew, { what: 'new workers', deadlineMs: 10_000 }).catch(() => {})
      done += 1
    }
  }
  const task = reloading()
  const isOver = ({ answered }: Outcomes): boolean => answered >= RELOAD_REQUESTS && done >= RELOADS
  const outcomes = await askUntil(server.url, { keepAlive, isOver })
  over = true
  await task
  return { ...outcomes, reloads: done }
}
