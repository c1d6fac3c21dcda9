/** The lines that runs leave, as the table of docs/reliability.md. */
import type { Row } from './world.ts'

export interface Reported extends Row {
  /** `F9 broker killed` */
  readonly fault: string
  readonly broker: string
}

const HEAD = ['fault', 'broker', 'what was done', 'lost', 'unexpected', 'acked early', 'overtaken', 'stuck', 'twice', 'seen besides', 'day']
const BEGIN = '<!-- written by npm run faults -->'
const END = '<!-- end -->'

/** Of the fault a row is about; also that of `F9` alone. */
export const numberOf = (fault: string): number => Number(/^F(\d+)/.exec(fault)?.[1])

/** The page with what was reached on this day, and the machine; `keep`: beside all rows of before that were not made again. */
export function withRows(
  page: string,
  reported: readonly Reported[],
  { day, machine, keep }: { day: string; machine: string; keep: boolean },
): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`docs/reliability.md has no place between "${BEGIN}" and "${END}"`)
  const before = keep ? rowsOf(page.slice(begin, end)) : []
  const rows = new Map([...before, ...reported.map((row) => [...cells(row), day])].map((row) => [`${row[0]} ${row[1]}`, row]))
  const sorted = [...rows.values()].toSorted(([a = ''], [b = '']) => numberOf(a) - numberOf(b) || (a < b ? -1 : Number(a > b)))
  const table = [HEAD, HEAD.map(() => '---'), ...sorted].map((row) => `| ${row.join(' | ')} |`).join('\n')
  return `${page.slice(0, begin)}${BEGIN}\n\n${machine}\n\n${table}\n\n${page.slice(end)}`
}

function rowsOf(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('| F'))
  return lines.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
}

function cells({ fault, broker, did, seen, verdict }: Reported): string[] {
  const counts = verdict
    ? [verdict.lost, verdict.unexpected, verdict.earlyAck, verdict.unordered ? undefined : verdict.order, verdict.stuck].map((ids) =>
        ids ? `${ids.length}` : '',
      )
    : Array<string>(5).fill('')
  return [fault, broker, did, ...counts, verdict ? `${verdict.duplicates}` : '', seen.replaceAll('|', '/')]
}
