/** What was found, as Markdown: medians of the runs, and ratios to who our goals are held to. */
import { median, printTable } from '../amqp/report.ts'
import { HANG_LIMIT_MS, MEMORY_CASES, type Driven, type Measure, type Values } from './measures.ts'
import type { Found } from './results.ts'

export const tables: { readonly [M in Measure]: (found: Found<Values[M]>) => void } = {
  speed: (found) => printSpeed('node:http', found),
  express: (found) => printSpeed('Express', found),

  start(found) {
    const watt = median(runsOf(found, 'Watt').flat())
    const rows = rowsOf(found, (runs) => [whole(median(runs)), ratio(median(runs), watt)])
    printTable('Time to the first 200, two workers', ['', 'ms', 'of Watt'], rows)
  },

  memory(found) {
    const rows = rowsOf(found, (runs) => MEMORY_CASES.map((_, column) => whole(median(runs.map((sizes) => sizes[column] ?? NaN)))))
    printTable('Memory, idle, MiB (PSS of all processes)', ['', ...MEMORY_CASES.map(({ title }) => title)], rows)
  },

  hang(found) {
    const title = 'A worker that hangs, from the request to an answer of its successor'
    const rows = rowsOf(found, (runs) => [runs.map((ms) => (ms === null ? 'never' : whole(ms))).join(', ')])
    printTable(title, ['', `ms, at a limit of ${HANG_LIMIT_MS} where there is one`], rows)
  },

  reload(found) {
    for (const kind of ['newConnections', 'keepAlive'] as const) {
      const sums = ['reloads', 'answered', 'lost', 'reset', 'hung'] as const
      const rows = rowsOf(found, (runs) => sums.map((key) => whole(runs.reduce((sum, run) => sum + run[kind][key], 0))))
      const title = `Rolling reloads of two workers, ${kind === 'keepAlive' ? 'keep-alive' : 'a connection for each request'}`
      printTable(title, ['', ...sums], rows)
    }
  },
}

function printSpeed(app: string, found: Found<Driven>): void {
  const rateOf = (runs: readonly Driven[]): number => median(runs.map(({ perSecond }) => perSecond))
  const cluster = Math.max(...runsOf(found, 'node:cluster').map(rateOf))
  const rows = rowsOf(found, (runs) => {
    const of = (key: 'p99Ms' | 'cpuMicros'): string => median(runs.map((run) => run[key])).toFixed(1)
    return [whole(rateOf(runs)), ratio(rateOf(runs), cluster), of('p99Ms'), of('cpuMicros')]
  })
  const title = `Requests, ${app}, two workers, 64 connections`
  printTable(title, ['', 'requests/s', 'of node:cluster', 'p99, ms', 'CPU per request, µs'], rows)
}

const runsOf = <T>(found: Found<T>, name: string): (readonly T[])[] =>
  [...found].filter(([contestant]) => contestant.startsWith(name)).map(([, runs]) => runs)
const rowsOf = <T>(found: Found<T>, cells: (runs: readonly T[]) => readonly string[]): string[][] =>
  [...found].map(([contestant, runs]) => [contestant, ...cells(runs)])
const whole = (value: number): string => (Number.isNaN(value) ? '–' : value.toFixed(0))
const ratio = (value: number, base: number): string => (Number.isFinite(value / base) ? `${(value / base).toFixed(2)} ×` : '–')
