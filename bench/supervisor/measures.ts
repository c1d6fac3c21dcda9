/** What is measured, each of one contestant that is started for it and stopped after it. */
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

const WARM_S = 2
const DRIVEN_S = 4
const TRAFFIC_S = 3
const SETTLE_MS = 3_000
/** As far as there is such a setting. */
export const HANG_LIMIT_MS = 2_000
const HANG_WATCHED_MS = 15_000
const RELOADS = 5
const RELOAD_REQUESTS = 20_000

export async function speed(contestant: Contestant, app: Wanted['app']): Promise<Driven> {
  await using server = await startServer(contestant, { app, workers: 2 })
  await wrk(server.url, WARM_S)
  const before = server.cpuMs()
  const found = await wrk(server.url, DRIVEN_S)
  return { ...found, cpuMicros: ((server.cpuMs() - before) * 1_000) / found.requests }
}

/** From the command to the first 200, with two workers. Milliseconds. */
export async function start(contestant: Contestant): Promise<number> {
  await using server = await startServer(contestant, { app: 'plain', workers: 2 })
  return server.firstAnswerMs
}

/** Of the whole tree, after some seconds of traffic and when all is quiet again. MiB. */
export async function memory(contestant: Contestant, workers: number, table?: string): Promise<number> {
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

/** From the request that blocks one of two workers to the first answer of its successor; undefined where none came. Milliseconds. */
export async function hang(contestant: Contestant): Promise<number | undefined> {
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
    return undefined
  }
}

/** Rolling reloads, one after the other, under clients that never retry. */
export async function reloads(contestant: Contestant, keepAlive: boolean): Promise<Outcomes & { reloads: number }> {
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
