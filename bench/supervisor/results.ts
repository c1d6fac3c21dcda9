/** What was found, by measure and contestant; kept in a file where one is named, so that pieces of a comparison add up. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Measure, Values } from './measures.ts'

/** By contestant, one value a run. */
export type Found<T> = ReadonlyMap<string, readonly T[]>

export interface Results {
  /** A run that failed has no value. */
  add<M extends Measure>(measure: M, contestant: string, value: Values[M] | undefined): void
  of<M extends Measure>(measure: M): Found<Values[M]>
}

type Kept = { [M in Measure]?: Record<string, Values[M][]> }

export function openResults(file: string | undefined): Results {
  const kept: Kept = file !== undefined && existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Kept) : {}
  const runsOf = <M extends Measure>(measure: M): Record<string, Values[M][]> => (kept[measure] ??= {} as NonNullable<Kept[M]>)
  return {
    add(measure, contestant, value) {
      const runs = (runsOf(measure)[contestant] ??= [])
      if (value !== undefined) runs.push(value)
      if (file !== undefined) writeFileSync(file, `${JSON.stringify(kept, undefined, 2)}\n`)
    },
    of: (measure) => new Map(Object.entries(runsOf(measure))),
  }
}
