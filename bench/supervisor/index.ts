/** Supervisors of web apps side by side: each measure takes the contestants in turn, round after round. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensurePackages, have } from '../../test/support/packages.ts'
import { median, printTable } from '../amqp/report.ts'
import { type Contestant, contestants } from './contestants.ts'
import { hang, HANG_LIMIT_MS, memory, reloads, speed, start } from './measures.ts'
import { rivals } from './rivals.ts'

export const MEASURES = ['speed', 'express', 'start', 'memory', 'hang', 'reload'] as const
export type Measure = (typeof MEASURES)[number]

const WORKERS = [1, 2, 4, 8]
const TABLE_MB = 50

export interface SupervisorOptions {
  readonly rounds: number
  /** Part of the names of those to compare. */
  readonly only: string
}

export async function benchSupervisors(measures: readonly Measure[], { rounds, only }: SupervisorOptions): Promise<void> {
  await ensurePackages(['gunicorn', 'python3-flask'])
  const all = contestants(await rivals(), have('gunicorn', 'python3-flask')).filter(({ name }) => name.includes(only))
  for (const measure of measures) await benches[measure](all, rounds)
}

const benches: Readonly<Record<Measure, (all: readonly Contestant[], rounds: number) => Promise<void>>> = {
  speed: (all, rounds) => compareSpeed(all, rounds, 'plain'),
  express: (all, rounds) => compareSpeed(all, rounds, 'express'),

  async start(all, rounds) {
    const found = await inTurn(all, rounds, start)
    const watt = median(valuesOf(found, ({ family }) => family === 'watt').flat())
    printTable(
      'Time to the first 200, two workers',
      ['', 'ms', 'of Watt'],
      all.map((one) => row(one, [whole(median(found.get(one) ?? [])), ratio(median(found.get(one) ?? []), watt)])),
    )
  },

  async memory(all) {
    const folder = mkdtempSync(join(tmpdir(), 'omnibus-bench-'))
    const table = join(folder, 'table')
    writeFileSync(table, Buffer.alloc(TABLE_MB * 2 ** 20, 1))
    const rows: string[][] = []
    for (const one of all) {
      const sizes: string[] = []
      for (const workers of WORKERS) sizes.push(whole(await attempt(() => memory(one, workers))))
      rows.push(row(one, [...sizes, whole(await attempt(() => memory(one, 8, table)))]))
    }
    rmSync(folder, { recursive: true })
    printTable('Memory, idle, MiB (PSS of all processes)', ['workers', ...WORKERS.map(String), `8, ${TABLE_MB} MiB table`], rows)
  },

  async hang(all, rounds) {
    const able = all.filter(({ replacesHung }) => replacesHung)
    const found = await inTurn(able, rounds, hang)
    printTable(
      'A worker that hangs, from the request to an answer of its successor',
      ['', 'limit, ms', 'replaced after, ms'],
      all.map((one) => {
        const runs = found.get(one)
        return row(one, runs ? [whole(HANG_LIMIT_MS), runs.map((ms = NaN) => whole(ms)).join(', ')] : ['none', 'never'])
      }),
    )
  },

  async reload(all) {
    for (const keepAlive of [false, true]) {
      const rows: string[][] = []
      for (const one of all) {
        const { answered, lost, reset, hung, reloads: times } = await reloads(one, keepAlive)
        rows.push(row(one, [times, answered, lost, reset, hung].map(String)))
      }
      const title = `Rolling reloads of two workers, ${keepAlive ? 'keep-alive' : 'a connection for each request'}`
      printTable(title, ['', 'reloads', 'answered', 'lost', 'reset', 'hung'], rows)
    }
  },
}

async function compareSpeed(all: readonly Contestant[], rounds: number, app: 'plain' | 'express'): Promise<void> {
  const found = await inTurn(all, rounds, (one) => speed(one, app))
  const rateOf = (one: Contestant): number => median((found.get(one) ?? []).map(({ perSecond }) => perSecond))
  const cluster = Math.max(...all.filter(({ family }) => family === 'cluster').map(rateOf))
  printTable(
    `Requests, ${app === 'plain' ? 'node:http' : 'Express'}, two workers, 64 connections`,
    ['', 'requests/s', 'of node:cluster', 'p99, ms', 'CPU per request, µs'],
    all.map((one) => {
      const runs = found.get(one) ?? []
      const of = (key: 'p99Ms' | 'cpuMicros'): string => median(runs.map((run) => run[key])).toFixed(1)
      return row(one, [whole(rateOf(one)), ratio(rateOf(one), cluster), of('p99Ms'), of('cpuMicros')])
    }),
  )
}

/** Interleaved, so that what else the machine does meets them all. */
async function inTurn<T>(
  all: readonly Contestant[],
  rounds: number,
  measure: (one: Contestant) => Promise<T>,
): Promise<Map<Contestant, T[]>> {
  const found = new Map<Contestant, T[]>(all.map((one) => [one, []]))
  for (let round = 0; round < rounds; round++) for (const one of all) found.get(one)?.push(await measure(one))
  return found
}

async function attempt(work: () => Promise<number>): Promise<number> {
  try {
    return await work()
  } catch (error) {
    process.stderr.write(`${String(error)}\n`)
    return NaN
  }
}

const valuesOf = <T>(found: ReadonlyMap<Contestant, T[]>, fits: (one: Contestant) => boolean): T[][] =>
  [...found].filter(([one]) => fits(one)).map(([, values]) => values)
const row = ({ name }: Contestant, cells: readonly string[]): string[] => [name, ...cells]
const whole = (value: number): string => (Number.isNaN(value) ? '–' : value.toFixed(0))
const ratio = (value: number, base: number): string => (Number.isNaN(base) ? '–' : `${(value / base).toFixed(2)} ×`)
