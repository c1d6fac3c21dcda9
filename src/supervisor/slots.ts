/** The places of the process tree: filling them, and what a crash does to them. */
import { EXIT } from './exit-codes.ts'
import { activate, headOf, isUp, retire, spawnChild } from './children.ts'
import { tellHook } from './hooks.ts'
import { afterCrash, NO_CRASHES } from './restart-policy.ts'
import { type Child, createSlot, log, now, type Slot, type State } from './state.ts'
import { beginStop } from './stop.ts'
import { isAlone, isWorker, labelOf, type Stage, type Unit, withThreads } from './units.ts'

/** As in the config. */
const MOST = 1024

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
    if (state.resting && isWorker(slot.unit)) continue
    if (slot.current || slot.next || slot.failed !== undefined || slot.retryAt !== undefined) continue
    if (slot.unit.isOldFirst && isTaken(state, slot.label)) continue
    slot.current = spawnChild(state, slot.unit, slot.label, { config: state.config, generation: state.generation })
  }
}

/** Nothing that happened in this place counts any more, and it is filled again. */
export function forgive(slot: Slot): void {
  slot.crashes = NO_CRASHES
  slot.failed = undefined
  slot.retryAt = undefined
}

/** Somebody of that name lives still, also one that was asked to go. */
export function isTaken(state: State, label: string): boolean {
  return [...state.children.values()].some((child) => child.label === label)
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
  const waits = state.dev !== undefined && slot.unit.stage !== 'broker'
  if (child.configFault && state.phase === 'starting' && !waits) {
    // Trying again would only say the same again.
    slot.failed = how
    log(state, 'error', `${slot.label} ${headOf(how)}`, fields)
    return beginStop(state, 'graceful', EXIT.config)
  }
  const verdict = afterCrash(slot.crashes, slot.unit.restart, now(state), state.options.random())
  slot.crashes = verdict.crashes
  // What never worked needs other code, not another try.
  const isHopeless = waits && child.phase === 'starting' && child.connectingSince === undefined
  if (!verdict.giveUp && !isHopeless) {
    slot.restarts++
    // Of one that was killed it counts from then: finding out what it hung in was a wait already.
    slot.retryAt = Math.max(now(state), (child.killedAt ?? now(state)) + verdict.delayMs)
    log(state, 'warn', `${slot.label} ${headOf(how)}; it starts again in ${Math.round(slot.retryAt - now(state))} ms`, fields)
    return
  }
  slot.failed = how
  if (waits) return log(state, 'warn', `${slot.label} ${headOf(how)}; it waits for a change`, fields)
  const { maxCrashes, windowMs } = slot.unit.restart
  log(state, 'error', `${slot.label} ${how}; given up after ${maxCrashes} crashes within ${windowMs / 1000} s`, fields)
  if (state.config?.onPermanentFailure === 'degrade') {
    return tellHook(state, 'onDegraded', { unit: slot.unit.name, label: slot.label, reason: how })
  }
  beginStop(state, 'graceful', EXIT.unitFailed)
}

/** The successor takes the place; the caller retires whom it returns. */
export function promote(state: State, slot: Slot, next: Child): Child | undefined {
  const old = slot.current
  slot.current = next
  slot.next = undefined
  slot.retryAt = undefined
  slot.renewalCrashes = NO_CRASHES
  slot.renewAt = undefined
  activate(state, next)
  return old
}

/** A successor that is ready takes its place, also where its predecessor has crashed meanwhile. */
export function promoteReady(state: State): void {
  for (const slot of state.slots.values()) if (slot.next?.phase === 'ready') retire(state, promote(state, slot, slot.next))
}

/** Nothing is wanted there any more. */
export function removeSlot(state: State, label: string): void {
  const slot = state.slots.get(label)
  state.slots.delete(label)
  retire(state, slot?.current)
  retire(state, slot?.next)
}

/** TTIN and TTOU. */
export function scaleWeb(state: State, by: 1 | -1): void {
  const unit = state.units.find(({ stage }) => stage === 'web')
  const refusal = unit ? scale(state, unit, (unit.threads ?? unit.size) + by) : 'there is no web part'
  if (refusal !== undefined) log(state, 'warn', `The number of web workers stays as it is: ${refusal}`)
}

/** Until a reload, which goes by the config again. Returns why not, if so. */
export function scale(state: State, unit: Unit, size: number): string | undefined {
  const { name, stage } = unit
  if (isAlone(unit)) return `${name} is always one`
  if (state.phase !== 'running' || state.reload) return 'a start, reload or stop is under way'
  if (state.resting) return 'the workers rest, while the new master has the work'
  if (state.refusal) return `the last reload was refused, so a new process would not start (${state.refusal.reason})`
  if (size < 1) return 'one is the least'
  if (size > MOST) return `${MOST} is the most`
  const scaled = unit.threads === undefined ? { ...unit, size } : { ...unit, threads: size }
  state.units = state.units.map((other) => (other === unit ? scaled : other))
  log(state, 'info', `${size} ${stage === 'web' ? 'web workers' : `${unit.threads ? 'threads' : 'processes'} of ${name}`} wanted`, {
    unit: name,
    size,
  })
  if (unit.threads !== undefined) return rehost(state, scaled)
  addSlots(state, scaled)
  for (let index = size + 1; index <= unit.size; index++) removeSlot(state, labelOf(unit, index))
  return undefined
}

/** Its number of threads has changed: a new host process with as many takes over, as in a renewal. */
function rehost(state: State, unit: Unit): undefined {
  const { config } = state
  if (!config || unit.threads === undefined) return
  state.config = withThreads(config, unit, unit.threads)
  addSlots(state, unit)
  const label = labelOf(unit, 1)
  const slot = state.slots.get(label)
  if (!slot?.current) return
  // One that is on the way has the number before.
  retire(state, slot.next)
  slot.next = undefined
  const { current } = slot
  state.renewals.push({ labels: [label], targets: new Map([[label, current.id]]), asker: undefined })
}
