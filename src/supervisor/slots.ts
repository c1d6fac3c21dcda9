/** The places of the process tree: filling them, and what a crash does to them. */
import { EXIT } from './exit-codes.ts'
import { activate, headOf, isUp, spawnChild } from './children.ts'
import { afterCrash } from './restart-policy.ts'
import { type Child, createSlot, log, now, type Slot, type State } from './state.ts'
import { beginStop } from './stop.ts'
import { labelOf, type Stage, type Unit } from './units.ts'

export function slotsOf(state: State, stage: Stage): Slot[] {
  return [...state.slots.values()].filter((slot) => slot.unit.stage === stage)
}

export function labelsOf(unit: Unit): string[] {
  return Array.from({ length: unit.size }, (_, i) => labelOf(unit, i + 1))
}

export function addSlots(state: State, unit: Unit): void {
  for (const label of labelsOf(unit)) {
    const slot = state.slots.get(label)
    if (slot) slot.unit = unit
    else state.slots.set(label, createSlot(unit, label))
  }
}

/** Starts a process in each empty place whose wait is over. */
export function fill(state: State, slots: Iterable<Slot>): void {
  for (const slot of slots) {
    if (slot.current || slot.next || slot.failed !== undefined || slot.retryAt !== undefined) continue
    slot.current = spawnChild(state, slot.unit, slot.label, { config: state.config, generation: state.generation })
  }
}

/** Its stage need not wait for it: it is up, or given up. */
export function isSettled(state: State, slot: Slot): boolean {
  return slot.failed !== undefined || (slot.current !== undefined && isUp(state, slot.current))
}

/** The process of this place ended without having been asked to. */
export function crashed(state: State, slot: Slot, child: Child, how: string): void {
  slot.current = undefined
  // Its successor is on the way already.
  if (slot.next) return
  const fields = { unit: slot.label, pid: child.pid, reason: how }
  if (child.configFault && state.phase === 'starting') {
    // Trying again would only say the same again.
    slot.failed = how
    log(state, 'error', `${slot.label} ${headOf(how)}`, fields)
    return beginStop(state, 'graceful', EXIT.config)
  }
  const verdict = afterCrash(slot.crashes, slot.unit.restart, now(state), state.options.random())
  slot.crashes = verdict.crashes
  if (!verdict.giveUp) {
    slot.restarts++
    slot.retryAt = now(state) + verdict.delayMs
    log(state, 'warn', `${slot.label} ${headOf(how)}; it starts again in ${Math.round(verdict.delayMs)} ms`, fields)
    return
  }
  slot.failed = how
  const { maxCrashes, windowMs } = slot.unit.restart
  log(state, 'error', `${slot.label} ${how}; given up after ${maxCrashes} crashes within ${windowMs / 1000} s`, fields)
  if (state.config?.onPermanentFailure === 'degrade') return
  beginStop(state, 'graceful', EXIT.unitFailed)
}

/** The successor takes the place; the caller retires whom it returns. */
export function promote(state: State, slot: Slot, next: Child): Child | undefined {
  const old = slot.current
  slot.current = next
  slot.next = undefined
  slot.retryAt = undefined
  activate(state, next)
  return old
}

/** TTIN and TTOU. */
export function scaleWeb(state: State, by: 1 | -1): Child | undefined {
  const unit = state.units.find(({ stage }) => stage === 'web')
  const refuse = (why: string): undefined => {
    log(state, 'warn', `The number of web workers stays as it is: ${why}`)
    return undefined
  }
  if (!unit) return refuse('there is no web part')
  if (state.phase !== 'running' || state.reload) return refuse('a start, reload or stop is under way')
  if (state.refusal) return refuse(`the last reload was refused, so a new worker would not start (${state.refusal.reason})`)
  if (unit.size + by < 1) return refuse('one is the least')
  const scaled = { ...unit, size: unit.size + by }
  state.units = state.units.map((other) => (other === unit ? scaled : other))
  log(state, 'info', `${scaled.size} web workers wanted`, { workers: scaled.size })
  addSlots(state, scaled)
  if (by > 0) return undefined
  const label = labelOf(unit, unit.size)
  const slot = state.slots.get(label)
  state.slots.delete(label)
  return slot?.current
}
