/** Supervisors of web apps side by side: each measure takes the contestants in turn, round after round. */
import { ensurePackages, have } from '../../test/support/packages.ts'
import { type Contestant, contestants } from './contestants.ts'
import { measures, type Measure } from './measures.ts'
import { openResults, type Results } from './results.ts'
import { rivals } from './rivals.ts'
import { endContestantsAtExit } from './server.ts'
import { tables } from './tables.ts'

export const MEASURES = Object.keys(measures) as Measure[]

export interface SupervisorOptions {
  readonly rounds: number
  /** Parts of the names of those to compare, with commas; empty: all. */
  readonly only: string
  /** A file that keeps what was found, so that a long comparison can be made in pieces: what it holds already counts too. */
  readonly into: string | undefined
}

export async function benchSupervisors(wanted: readonly Measure[], { rounds, only, into }: SupervisorOptions): Promise<void> {
  endContestantsAtExit()
  await ensurePackages(['gunicorn', 'python3-flask', 'wrk'])
  const all = contestants(await rivals(), have('gunicorn', 'python3-flask')).filter(({ name }) =>
    only.split(',').some((part) => name.includes(part)),
  )
  const results = openResults(into)
  for (const measure of wanted) await compare(measure, all, rounds, results)
}

async function compare<M extends Measure>(measure: M, all: readonly Contestant[], rounds: number, results: Results): Promise<void> {
  // Interleaved, so that what else the machine does meets them all.
  for (let round = 0; round < rounds; round++) {
    for (const one of all) results.add(measure, one.name, await attempt(() => measures[measure](one)))
  }
  tables[measure](results.of(measure))
}

/** Undefined, and said, where it fails: the others are compared all the same. */
async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    process.stderr.write(`${String(error)}\n`)
    return undefined
  }
}
