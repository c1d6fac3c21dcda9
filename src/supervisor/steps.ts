/** `preStart`: commands that run to their end one after the other, in a start and, where asked for, in a reload. */
import type { ResolvedConfig } from '../config/types.ts'
import { spawnChild } from './children.ts'
import { type Child, log, now, type State } from './state.ts'
import { stepsOf, type Unit } from './units.ts'

export interface Steps {
  readonly config: ResolvedConfig
  readonly generation: number
  readonly left: Unit[]
  current: Child | undefined
}

export function stepsFor(config: ResolvedConfig, generation: number, inReload: boolean): Steps {
  return { config, generation, left: stepsOf(config, inReload), current: undefined }
}

/** Starts the next one unless one runs. Returns whether all are done. */
export function advanceSteps(state: State, steps: Steps): boolean {
  if (steps.current) return false
  const unit = steps.left.shift()
  if (!unit) return true
  log(state, 'info', `${unit.name} runs ${unit.spec?.command[0]}`, { unit: unit.name })
  steps.current = spawnChild(state, unit, unit.name, { ...steps, canary: true })
  return false
}

/** One has ended. Returns why nothing may follow, if so. */
export function stepEnded(state: State, steps: Steps, code: number | null, how: string): string | undefined {
  const { current } = steps
  steps.current = undefined
  if (!current || code !== 0) return `${current?.label} ${how}`
  const ms = Math.round(now(state) - current.startedAt)
  log(state, 'info', `${current.label} is done`, { unit: current.label, pid: current.pid, ms })
  return undefined
}
