/**
 * A reload loses and refuses nothing: read the config in a new child, then bring one new process of every unit to
 * readiness, and only then touch what is old, one place after the other. Until that point it can be refused as a whole.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ResolvedConfig } from '../config/types.ts'
import { becomeHost, headOf, killChild, LOADER_STOP_MS, retire, spawnChild, spawnLoader, stopChild } from './children.ts'
import { changesBetween } from './changes.ts'
import type { Event } from './events.ts'
import { tellHook } from './hooks.ts'
import { pauseRenewals } from './renewal.ts'
import { afterCrash, NO_CRASHES } from './restart-policy.ts'
import { addSlots, forgive, isSettled, isTaken, labelsOf, promote, removeSlot, slotsOf } from './slots.ts'
import { type Child, log, now, type Reload, reply, type Slot, type State } from './state.ts'
import { advanceSteps, stepEnded, type Steps, stepsFor } from './steps.ts'
import { isWorker, keepUnchangeable, labelOf, listeningOf, needsRestart, unitsOf } from './units.ts'
import { wake } from './upgrade.ts'

/** HUP. One that comes while the start or another reload is under way counts afterwards. */
export function wantReload(state: State): void {
  if (state.stop) return
  if (state.phase !== 'running' || state.reload) {
    state.reloadWanted = true
    log(state, 'info', 'Reload asked for; it follows when what is under way is done')
    return
  }
  log(state, 'info', 'Reloading')
  state.commands.push({ type: 'notify', state: 'reloading' })
  pauseRenewals(state)
  // A broker that was given up stays what it is in a reload, and without it nothing new could connect.
  for (const slot of slotsOf(state, 'broker')) if (slot.failed !== undefined) forgive(slot)
  state.reload = {
    step: 'loading',
    loader: spawnLoader(state, state.generation + 1),
    config: undefined,
    steps: undefined,
    urls: undefined,
    canaries: new Map(),
    queue: [],
    crashes: NO_CRASHES,
    retryAt: undefined,
    askers: state.reloadAskers.splice(0),
  }
}

/** For code that has changed again: one that is not decided yet begins anew, and whoever waits for it goes on waiting. */
export function reloadAnew(state: State): void {
  const { reload } = state
  if (reload && reload.step !== 'rolling') {
    state.reload = undefined
    state.reloadAskers.unshift(...reload.askers)
    giveUp(state, reload)
  }
  wantReload(state)
}

/** The new config has been read. */
export function reloadLoaded(state: State, reload: Reload, loaded: ResolvedConfig): void {
  const old = state.config
  if (!old) return
  if ((old.web === undefined) !== (loaded.web === undefined)) {
    return refuse(state, reload, `the config ${loaded.web ? 'now has' : 'no longer has'} a \`web\` part, which needs a restart`)
  }
  const changes = changesBetween(old, loaded)
  if (changes.length > 0) log(state, 'info', `The config has changed: ${changes.join(', ')}`, { changes })
  const later = needsRestart(old, loaded)
  if (later.length > 0) log(state, 'warn', `Changed, but needs a restart to count: ${later.join(', ')}`, { keys: later })
  reload.config = keepUnchangeable(old, loaded)
  if (isDeepStrictEqual(listeningOf(old), listeningOf(loaded))) return runSteps(state, reload, reload.config)
  reload.step = 'binding'
  state.commands.push({ type: 'bind', loader: reload.loader.id, config: reload.config })
}

/** The addresses that the new config names besides are bound, or cannot be. */
export function reloadBound(state: State, { loader, urls, error }: Extract<Event, { type: 'bound' }>): void {
  const { reload } = state
  if (!reload?.config || reload.step !== 'binding' || reload.loader.id !== loader) {
    // Of a reload that has ended meanwhile, so that nobody wants them.
    return void state.commands.push({ type: 'unbind', except: state.stop ? undefined : state.config })
  }
  if (error !== undefined) return refuse(state, reload, error)
  reload.urls = urls
  runSteps(state, reload, reload.config)
}

/** Those of `preStart` that are for reloads too; hooks follow. */
function runSteps(state: State, reload: Reload, config: ResolvedConfig): void {
  reload.step = 'steps'
  // It has loaded, and may wait for as long as they take.
  reload.loader.deadline = undefined
  reload.steps = stepsFor(config, state.generation + 1, true)
}

function startHooks(state: State, reload: Reload, config: ResolvedConfig): void {
  reload.step = 'hooks'
  const hooks = unitsOf(config).find(({ stage }) => stage === 'hooks')
  if (!hooks) return stopChild(state, reload.loader, 'reload', LOADER_STOP_MS)
  reload.canaries.set(hooks.name, reload.loader)
  becomeHost(state, reload.loader, hooks, config)
}

/** A process of the reload ended before it was decided. */
export function reloadLost(state: State, reload: Reload, child: Child, how: string): void {
  refuse(state, reload, `${child.label} ${how}`)
}

/** A command of `preStart` has ended. */
export function reloadStepEnded(
  state: State,
  reload: Reload,
  steps: Steps,
  exit: { readonly code: number | null; readonly how: string },
): void {
  const failure = stepEnded(state, steps, exit.code, exit.how)
  if (failure !== undefined) refuse(state, reload, failure)
}

/** Goes on as far as it can now. */
export function advanceReload(state: State, reload: Reload): void {
  const { config } = reload
  if (!config || reload.step === 'loading' || reload.step === 'binding') return
  if (reload.steps && reload.step === 'steps' && advanceSteps(state, reload.steps)) startHooks(state, reload, config)
  if (reload.step === 'hooks' && allReady(reload)) {
    reload.step = 'canaries'
    for (const unit of unitsOf(config)) {
      if (!isWorker(unit)) continue
      const label = labelOf(unit, 1)
      // It cannot be tried where an old one is, or may be any moment.
      if (unit.isOldFirst && (state.slots.has(label) || isTaken(state, label))) continue
      reload.canaries.set(unit.name, spawnChild(state, unit, label, { config, generation: state.generation + 1, canary: true }))
    }
  }
  if (reload.step === 'canaries' && allReady(reload)) commit(state, reload, config)
  if (reload.step === 'rolling') roll(state, reload)
}

/** The successor in one place ended before it was ready, though the first of its unit had started well. */
export function successorLost(state: State, reload: Reload, child: Child, how: string): void {
  const verdict = afterCrash(reload.crashes, child.unit.restart, now(state), state.options.random())
  reload.crashes = verdict.crashes
  log(state, 'warn', `${child.label} (new) ${headOf(how)}`, { unit: child.label, pid: child.pid, reason: how })
  if (!verdict.giveUp) {
    reload.retryAt = now(state) + verdict.delayMs
    return
  }
  const reason = `${child.label} (new) ${how}`
  end(state, reload, reason, `Reload stopped half way, ${reload.queue.join(', ')} not replaced: ${reason}`)
}

function allReady({ canaries }: Reload): boolean {
  return [...canaries.values()].every(({ phase }) => phase === 'ready')
}

function refuse(state: State, reload: Reload, reason: string): void {
  giveUp(state, reload)
  end(state, reload, reason, `Reload refused, everything goes on as before: ${reason}`)
}

/** Ends all that it has started. */
function giveUp(state: State, reload: Reload): void {
  for (const child of [reload.loader, reload.steps?.current, ...reload.canaries.values()]) {
    const living = child && state.children.get(child.id)
    if (!living) continue
    if (living.phase === 'loading') killChild(state, living)
    else retire(state, living)
  }
  if (reload.urls) state.commands.push({ type: 'unbind', except: state.config })
}

function end(state: State, reload: Reload, reason: string, message: string): void {
  state.reload = undefined
  state.refusal = { at: state.options.clock.wall(), reason }
  log(state, 'error', message, { reason })
  tellHook(state, 'onReloadRefused', { reason })
  state.commands.push({ type: 'notify', state: 'ready' })
  for (const asker of reload.askers) reply(state, asker, { ok: false, error: message })
}

/** Everything new has proved itself: from here on the new config is the one in force. */
function commit(state: State, reload: Reload, config: ResolvedConfig): void {
  state.config = config
  state.generation++
  wake(state)
  const broker = state.units.filter(({ stage }) => stage === 'broker')
  state.units = [...broker, ...unitsOf(config).filter(({ stage }) => stage !== 'broker')]
  state.commands.push({ type: 'level', level: config.logLevel })
  if (reload.urls) {
    if (!isDeepStrictEqual(state.urls, reload.urls))
      log(state, 'info', `Listening on ${reload.urls.join(', ')} from now on`, { urls: reload.urls })
    state.urls = reload.urls
    state.commands.push({ type: 'unbind', except: config })
  }
  const wanted = new Set(state.units.flatMap(labelsOf))
  for (const label of state.slots.keys()) if (!wanted.has(label)) removeSlot(state, label)
  for (const unit of state.units) addSlots(state, unit)
  for (const slot of state.slots.values()) {
    if (slot.unit.stage === 'broker') continue
    forgive(slot)
    if (slot.current) reload.queue.push(slot.label)
  }
  for (const child of reload.canaries.values()) {
    const slot = state.slots.get(child.label)
    // The new one works before the old one is asked to stop, so that there is no gap.
    if (slot) retire(state, promote(state, slot, child))
  }
  reload.step = 'rolling'
}

function roll(state: State, reload: Reload): void {
  for (;;) {
    const slot = state.slots.get(reload.queue[0] ?? '')
    if (!slot && reload.queue.length === 0) break
    if (slot?.next) return
    if (slot?.unit.isOldFirst && isHandingOver(state, slot)) return
    if (slot?.current && slot.current.generation !== state.generation) {
      if (reload.retryAt !== undefined) return
      slot.next = spawnChild(state, slot.unit, slot.label, { config: state.config, generation: state.generation, canary: true })
      return
    }
    reload.queue.shift()
  }
  if (!state.dev && hasOld(state)) return
  state.reload = undefined
  state.refusal = undefined
  const ms = Math.round(now(state) - reload.loader.startedAt)
  log(state, 'info', state.dev ? `Reloaded in ${ms} ms` : 'Reloaded', { generation: state.generation, ms })
  state.commands.push({ type: 'notify', state: 'ready' })
  for (const asker of reload.askers) reply(state, asker, { ok: true, message: 'Reloaded' })
}

/** The old process goes, and the next place has to wait until the new one works, or is given up. */
function isHandingOver(state: State, slot: Slot): boolean {
  if (slot.current && slot.current.generation !== state.generation) {
    if (slot.current.phase !== 'stopping') retire(state, slot.current)
    return true
  }
  return !isSettled(state, slot)
}

/** Something of an earlier generation is still finishing its work; the broker never changes hands. */
function hasOld(state: State): boolean {
  return [...state.children.values()].some((child) => child.unit.stage !== 'broker' && child.generation !== state.generation)
}
