/** What the probes show, from the master's own state. */
import { isConnecting } from './children.ts'
import type { UnitStatus } from './protocol.ts'
import { now, type Slot, type State } from './state.ts'
import { isConsumer, isWorker, type Unit } from './units.ts'

export type UnitState = 'waiting' | 'starting' | 'connecting' | 'ready' | 'stopping' | 'restarting' | 'resting' | 'failed'

export interface Status {
  readonly phase: State['phase']
  /** Answers requests and handles messages: of every unit, `minReady` processes are ready, connected and subscribed. */
  readonly ready: boolean
  /** It is ready, but not all of it. */
  readonly degraded: boolean
  /** What is not ready; empty when all is. */
  readonly reasons: readonly string[]
  /** Where the web part listens. */
  readonly urls: readonly string[]
  /** Reloads that succeeded. */
  readonly generation: number
  readonly reloading: boolean
  /** The master this one takes over from, or that takes over from this one. */
  readonly predecessor?: number
  readonly successor?: { readonly pid: number | undefined; readonly ready: boolean }
  /** The last reload was refused: nothing may be scaled until one succeeds. */
  readonly lastReloadRefusal?: { readonly at: string; readonly reason: string }
  readonly units: readonly UnitReport[]
}

export interface UnitReport extends UnitStatus {
  readonly label: string
  readonly unit: string
  readonly state: UnitState
  readonly pid?: number
  readonly uptimeMs?: number
  /** It has reached a limit and is to be replaced, and why. */
  readonly spent?: string
  /** Its successor is on the way. */
  readonly replacing?: boolean
  readonly restarts: number
  readonly failure?: string
}

/** Web workers that are ready, each thread counting. */
export function readyWorkers({ units }: Status): number {
  return units.reduce((count, { unit, state, threads = 1 }) => (unit === 'web' && state === 'ready' ? count + threads : count), 0)
}

export function statusOf(state: State): Status {
  const slots = [...state.slots.values()]
  const reasons = [...(state.phase === 'running' ? [] : [state.phase]), ...slots.flatMap((slot) => unreadiness(state, slot))]
  const ready = state.phase === 'running' && state.units.every((unit) => hasQuorum(state, unit))
  return {
    phase: state.phase,
    ready,
    degraded: ready && reasons.length > 0,
    reasons,
    urls: state.urls,
    generation: state.generation,
    reloading: state.reload !== undefined,
    ...(state.refusal && { lastReloadRefusal: { at: new Date(state.refusal.at).toISOString(), reason: state.refusal.reason } }),
    ...(state.predecessor !== undefined && { predecessor: state.predecessor }),
    ...(state.successor && { successor: { ...state.successor } }),
    units: slots.map((slot) => report(state, slot)),
  }
}

function report(state: State, slot: Slot): UnitReport {
  const { current, next } = slot
  return {
    label: slot.label,
    unit: slot.unit.name,
    state: stateOf(state, slot),
    ...(current?.pid !== undefined && { pid: current.pid }),
    ...(current && { uptimeMs: Math.round(now(state) - current.startedAt) }),
    ...(current?.spent !== undefined && { spent: current.spent }),
    ...(next && { replacing: true }),
    restarts: slot.restarts,
    ...(slot.failed !== undefined && { failure: slot.failed }),
    ...current?.status,
  }
}

function stateOf({ resting }: State, { unit, failed, current, retryAt }: Slot): UnitState {
  if (failed !== undefined) return 'failed'
  if (!current && resting && isWorker(unit)) return 'resting'
  if (!current) return retryAt === undefined ? 'waiting' : 'restarting'
  if (current.killedAt !== undefined) return 'stopping'
  if (current.phase === 'forking' || current.phase === 'loading' || current.phase === 'loaded') return 'starting'
  return current.phase === 'starting' && isConnecting(current) ? 'connecting' : current.phase
}

function hasQuorum(state: State, { name, minReady = Infinity }: Unit): boolean {
  const slots = [...state.slots.values()].filter(({ unit }) => unit.name === name)
  return slots.filter((slot) => unreadiness(state, slot).length === 0).length >= Math.min(minReady, slots.length)
}

function unreadiness(state: State, slot: Slot): string[] {
  const shown = stateOf(state, slot)
  if (shown !== 'ready') return [`${slot.label} is ${shown}`]
  const { connected, subscribed } = slot.current?.status ?? {}
  if (connected === false) return [`${slot.label} is not connected to its bus`]
  if (isConsumer(slot.unit) && subscribed === false) return [`${slot.label} is not subscribed`]
  return []
}
