/** The lines that a long run leaves, as the table of docs/reliability.md. */
import type { Row } from './world.ts'

type Reported = Row & { readonly broker: string }

const HEAD = ['fault', 'broker', 'what was done', 'lost', 'unexpected', 'acked early', 'overtaken', 'stuck', 'twice', 'seen besides']

export function table(report: string): string {
  const rows = report
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => cells(JSON.parse(line) as Reported))
    .toSorted((a, b) => Number(/\d+/.exec(a[0] ?? '')?.[0]) - Number(/\d+/.exec(b[0] ?? '')?.[0]))
  return [HEAD, HEAD.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

function cells({ fault, broker, did, seen, verdict }: Reported): string[] {
  const counts = verdict
    ? [verdict.lost, verdict.unexpected, verdict.earlyAck, verdict.order, verdict.stuck].map(({ length }) => `${length}`)
    : Array<string>(5).fill('')
  return [fault, broker, did, ...counts, verdict ? `${verdict.duplicates}` : '', seen]
}

const BEGIN = '<!-- written by npm run faults -->'
const END = '<!-- end -->'

/** The page with the table, and where it was made, between its marks. */
export function placed(page: string, made: string, about: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`docs/reliability.md has no place between "${BEGIN}" and "${END}"`)
  return `${page.slice(0, begin)}${BEGIN}\n\n${about}\n\n${made}\n\n${page.slice(end)}`
}
