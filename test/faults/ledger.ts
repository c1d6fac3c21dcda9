/**
 * What was sent, confirmed, delivered, handled and acked, written down line by line by each process before it takes its next step,
 * and whether that adds up. The lines are in the page cache when the write returns, and so survive the process's SIGKILL.
 */
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export type LedgerEvent =
  /** A publish begins; then how its promise settled. */
  | 'sent'
  | 'confirmed'
  | 'failed'
  /** With `again` where the broker marked it as redelivered. */
  | 'delivered'
  | 'handled'
  /** The broker was told. */
  | 'acked'
  /** It ended in the dead letters. */
  | 'dead'
  /** A link came up: what was delivered before may come again. */
  | 'up'
  /** The process ended in an orderly way, with all its promises settled. */
  | 'end'

export interface Writer extends Disposable {
  /** An id is `<producer>-<seq>`; messages of one producer are expected in the order of their seq. */
  write(event: LedgerEvent, id?: string, detail?: string): void
  /** Lines of this kind written here. */
  count(event: LedgerEvent): number
}

export function openLedger(file: string): Writer {
  const fd = openSync(file, 'a')
  const counts = new Map<LedgerEvent, number>()
  return {
    write(event, id = '', detail = '') {
      counts.set(event, (counts.get(event) ?? 0) + 1)
      writeSync(fd, `${event} ${id} ${detail}\n`)
    },
    count: (event) => counts.get(event) ?? 0,
    [Symbol.dispose]: () => closeSync(fd),
  }
}

export interface Verdict {
  /** Confirmed, and neither handled nor dead nor queued. */
  readonly lost: readonly string[]
  /** Handled or queued, and never sent. */
  readonly unexpected: readonly string[]
  /** Acked before it was handled. */
  readonly earlyAck: readonly string[]
  /** Overtook another message of its producer, though neither was redelivered. */
  readonly order: readonly string[]
  /** The broker promises no order, so that there is nothing to overtake. */
  readonly unordered?: true
  /** Publishes of a process that ended in order and never settled. */
  readonly stuck: readonly string[]
  /** Handlings beyond the first, and those to come of what is queued. Legal after a fault, within bounds. */
  readonly duplicates: number
  /** Handled though never confirmed. Legal. */
  readonly recovered: number
  readonly confirmed: number
  readonly handled: number
}

/** Judges the ledgers of a folder, one file per process. `queued` are the ids known to wait in a queue still. */
export function check(folder: string, options: { queued?: readonly string[] } = {}): Verdict {
  const all = new Map<LedgerEvent, Map<string, number>>()
  const times = (event: LedgerEvent): Map<string, number> => all.get(event) ?? new Map<string, number>()
  const files = readdirSync(folder).map((name) => readLines(join(folder, name)))
  const earlyAck: string[] = []
  const stuck: string[] = []
  for (const lines of files) {
    const handledHere = new Map<string, number>()
    for (const { event, id } of lines) {
      const counts = all.get(event) ?? new Map<string, number>()
      counts.set(id, (counts.get(id) ?? 0) + 1)
      all.set(event, counts)
      if (event === 'handled') handledHere.set(id, (handledHere.get(id) ?? 0) + 1)
      if (event !== 'acked') continue
      const left = handledHere.get(id) ?? 0
      if (left === 0) earlyAck.push(id)
      else handledHere.set(id, left - 1)
    }
    if (!lines.some(({ event }) => event === 'end')) continue
    const settled = new Set(lines.filter(({ event }) => event === 'confirmed' || event === 'failed').map(({ id }) => id))
    stuck.push(...lines.filter(({ event, id }) => event === 'sent' && !settled.has(id)).map(({ id }) => id))
  }
  const [sent, confirmed, handled, dead, delivered] = (['sent', 'confirmed', 'handled', 'dead', 'delivered'] as const).map(times) as [
    Map<string, number>,
    Map<string, number>,
    Map<string, number>,
    Map<string, number>,
    Map<string, number>,
  ]
  const queued = new Set(options.queued)
  return {
    lost: [...confirmed.keys()].filter((id) => !handled.has(id) && !dead.has(id) && !queued.has(id)),
    unexpected: [...new Set([...handled.keys(), ...queued])].filter((id) => !sent.has(id)),
    earlyAck,
    order: files.flatMap((lines) => overtaken(lines, (id) => delivered.get(id) === 1)),
    stuck,
    duplicates: [...handled].reduce((sum, [id, count]) => sum + count - (queued.has(id) ? 0 : 1), 0),
    recovered: [...handled.keys()].filter((id) => !confirmed.has(id)).length,
    confirmed: confirmed.size,
    handled: handled.size,
  }
}

/** Of several runs that have nothing to do with each other. */
export function summed(verdicts: readonly Verdict[]): Verdict {
  const all = (of: (verdict: Verdict) => readonly string[]): string[] => verdicts.flatMap(of)
  const sum = (of: (verdict: Verdict) => number): number => verdicts.reduce((so, verdict) => so + of(verdict), 0)
  return {
    lost: all(({ lost }) => lost),
    unexpected: all(({ unexpected }) => unexpected),
    earlyAck: all(({ earlyAck }) => earlyAck),
    order: all(({ order }) => order),
    stuck: all(({ stuck }) => stuck),
    duplicates: sum(({ duplicates }) => duplicates),
    recovered: sum(({ recovered }) => recovered),
    confirmed: sum(({ confirmed }) => confirmed),
    handled: sum(({ handled }) => handled),
  }
}

/** All that no fault excuses, by name: empty lists are what a scenario asks for. */
export const faults = ({ lost, unexpected, earlyAck, order, stuck }: Verdict): Record<string, readonly string[]> => ({
  lost,
  unexpected,
  earlyAck,
  order,
  stuck,
})

export const noFaults = { lost: [], unexpected: [], earlyAck: [], order: [], stuck: [] }

interface Line {
  readonly event: LedgerEvent
  readonly id: string
  readonly detail: string
}

function readLines(file: string): Line[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [event = '', id = '', detail = ''] = line.split(' ')
      return { event: event as LedgerEvent, id, detail }
    })
}

/** Between two losses of the link, first deliveries of one producer come in the order of their seq. */
function overtaken(lines: readonly Line[], once: (id: string) => boolean): string[] {
  const found: string[] = []
  let last = new Map<string, number>()
  for (const { event, id, detail } of lines) {
    if (event === 'up') last = new Map()
    if (event !== 'delivered' || detail === 'again' || !once(id)) continue
    const at = id.lastIndexOf('-')
    const [producer, seq] = [id.slice(0, at), Number(id.slice(at + 1))]
    if (seq < (last.get(producer) ?? -1)) found.push(id)
    else last.set(producer, seq)
  }
  return found
}
