/**
 * The master's mind: told what happened, it answers with what to do. It holds no process, no socket and no timer, and is
 * driven by the state it sees rather than by the order of events, so that any interleaving ends in the same place.
 */
import type { ResolvedConfig } from '../config/types.ts'
import {
  activate,
  becomeHost,
  endOf,
  fork,
  headOf,
  isConnecting,
  LOADER_STOP_MS,
  release,
  spawnLoader,
  startChild,
  stopChild,
} from './children.ts'
import { nextDeadline, passDeadlines } from './deadlines.ts'
import { advanceDev, changeLost, onChanged, waitsForConfig } from './dev/changes.ts'
import { type Dev, graphName } from './dev/dev.ts'
import { faultMended, onFault, tellFaults } from './dev/faults.ts'
import type { Command, Event, Exit, MasterSignal } from './events.ts'
import { EXIT } from './exit-codes.ts'
import { processOf, tellHook, tellSizes } from './hooks.ts'
import { exceeded } from './limits.ts'
import type { FromChild } from './protocol.ts'
import { advanceRenewals, isRenewed, renewalLost } from './renewal.ts'
import { onRequest } from './requests.ts'
import { advanceReload, reloadBound, reloadLoaded, reloadLost, reloadStepEnded, successorLost, wantReload } from './reload.ts'
import { addSlots, crashed, fill, isSettled, promoteReady, scaleWeb, slotsOf } from './slots.ts'
import { type Child, createState, log, now, type State, type SupervisionOptions } from './state.ts'
import { type Status, statusOf } from './status.ts'
import { advanceSteps, stepEnded, type Steps, stepsFor } from './steps.ts'
import { advanceStop, beginStop, noteCut } from './stop.ts'
import { STAGES, unitsOf } from './units.ts'
import { onPredecessorGone, onSuccessor, rest, wantUpgrade } from './upgrade.ts'

export interface Supervision {
  /** Commands are to be carried out in order, and events to be told one at a time. */
  handle(event: Event): readonly Command[]
  /** When `tick` is due, on the monotonic clock. */
  nextDeadline(): number | undefined
  status(): Status
}

export function createSupervision(options: SupervisionOptions): Supervision {
  const state = createState(options)
  return {
    handle(event) {
      if (state.phase === 'ended') return []
      for (const child of passDeadlines(state)) onExit(state, child, UNKILLABLE)
      apply(state, event)
      advance(state)
      return state.commands.splice(0)
    },
    nextDeadline: () => nextDeadline(state),
    status: () => statusOf(state),
  }
}

const UNKILLABLE: Exit = { code: null, signal: null, error: 'it hangs in the kernel and cannot be killed' }

function apply(state: State, event: Event): void {
  switch (event.type) {
    case 'begin':
      state.phase = 'loading'
      state.loader = spawnLoader(state, state.generation)
      return
    case 'prepared':
      state.urls = event.urls
      if (state.phase === 'preparing') state.phase = 'starting'
      return
    case 'unprepared':
      log(state, 'error', event.message)
      return beginStop(state, 'quick', EXIT.config)
    case 'bound':
      return reloadBound(state, event)
    case 'successor':
      return onSuccessor(state, event)
    case 'predecessorGone':
      return onPredecessorGone(state)
    case 'signal':
      return onSignal(state, event.signal)
    case 'request':
      return onRequest(state, event.id, event.request)
    case 'changed':
      if (state.dev) onChanged(state, state.dev, event.files)
      return
    case 'tick':
      return
  }
  const child = state.children.get(event.child)
  if (!child) return
  if (event.type === 'spawned') child.pid = event.pid
  else if (event.type === 'message') onMessage(state, child, event.message)
  else onExit(state, child, event)
}

/** Whatever can go on, goes on. */
function advance(state: State): void {
  if (state.phase === 'starting' || state.phase === 'running') tellSizes(state)
  if (state.phase === 'starting') advanceStart(state)
  if (state.phase === 'running') {
    promoteReady(state)
    if (state.reload) advanceReload(state, state.reload)
    if (!state.reload) advanceRenewals(state)
    fill(state, state.slots.values())
    if (state.dev) advanceDev(state, state.dev)
    if (state.reloadWanted && !state.reload) {
      state.reloadWanted = false
      wantReload(state)
    }
  }
  if (state.stop && state.phase === 'stopping') advanceStop(state, state.stop)
}

function advanceStart(state: State): void {
  for (const stage of STAGES) {
    if (stage === 'hooks' && state.steps && !advanceSteps(state, state.steps)) return
    const slots = slotsOf(state, stage)
    fill(state, slots)
    // The child that read the config waited, loaded, for the broker to be up.
    for (const { current, unit } of slots) if (current?.phase === 'loaded' && state.config) becomeHost(state, current, unit, state.config)
    if (!slots.every((slot) => isSettled(state, slot))) return
  }
  state.phase = 'running'
  state.commands.push({ type: 'notify', state: 'ready' })
  const { urls } = state
  if (urls.length === 0) log(state, 'info', 'Ready')
  else log(state, 'info', `Listening on ${urls.join(', ')}`, { url: urls[0], urls })
}

function onSignal(state: State, signal: MasterSignal): void {
  switch (signal) {
    case 'SIGTERM':
      return beginStop(state, 'graceful', EXIT.stopped)
    case 'SIGINT':
    case 'SIGQUIT':
      return beginStop(state, 'quick', EXIT.stopped)
    case 'SIGHUP':
      return wantReload(state)
    case 'SIGTTIN':
      return scaleWeb(state, 1)
    case 'SIGTTOU':
      return scaleWeb(state, -1)
    case 'SIGUSR2':
      return wantUpgrade(state)
    case 'SIGWINCH':
      return rest(state)
    case 'SIGUSR1':
      return log(state, 'info', 'SIGUSR1 has nothing to do: logs go to stdout, so there is no file to open anew')
  }
}

function onMessage(state: State, child: Child, message: FromChild): void {
  switch (message.type) {
    case 'loaded':
      return onLoaded(state, child, message.config)
    case 'failed':
      child.reason ??= `failed: ${message.message}`
      child.configFault = message.config
      return
    case 'beat':
      child.lastBeatAt = now(state)
      child.status = message.status
      if (child.limits) child.spent ??= exceeded(child.limits, message.status)
      child.connectingSince = isConnecting(child) ? (child.connectingSince ?? now(state)) : undefined
      // Its broker is away, which killing it would not mend. In a reload it still has to connect in time.
      if (child.deadline?.why === 'start' && !child.canary && isConnecting(child)) child.deadline = undefined
      return
    case 'hooked': {
      const waiting = state.children.get(message.id)
      if (waiting?.fork?.host === child.id) fork(state, waiting)
      return
    }
    case 'ready':
      return onReady(state, child)
    case 'modules':
      return state.dev?.graph.add(graphName(child), child.id, message.files)
    case 'fault':
      return state.dev && onFault(state, state.dev, child, message.fault)
  }
}

function onReady(state: State, child: Child): void {
  if (child.phase !== 'starting') return
  child.phase = 'ready'
  child.deadline = undefined
  child.lastBeatAt = now(state)
  const ms = Math.round(now(state) - child.startedAt)
  log(state, 'info', `${child.label} is ready`, { unit: child.label, pid: child.pid, ms })
  const about = processOf(child)
  if (about) tellHook(state, 'onWorkerReady', { ...about, ms }, child)
  if (!child.canary) activate(state, child)
  if (state.dev) onWorks(state, state.dev, child)
}

/** Its code loads: nothing of what was wrong with it before counts. */
function onWorks(state: State, dev: Dev, child: Child): void {
  tellFaults(state, dev, child)
  if (child === dev.standIn) return
  dev.graph.worked(graphName(child), child.id)
  faultMended(state, dev, child)
}

function onLoaded(state: State, child: Child, loaded: ResolvedConfig): void {
  if (child.phase !== 'loading' || child.killedAt !== undefined) return
  child.phase = 'loaded'
  if (state.dev) faultMended(state, state.dev, child)
  const config = state.options.withoutWeb ? withoutWeb(loaded) : loaded
  if (state.reload?.loader === child) return reloadLoaded(state, state.reload, config)
  // A hook host that came back works with the config in force, whatever the file says by now.
  if (state.loader !== child) return startChild(state, child, state.config ?? config)
  state.loader = undefined
  state.config = config
  state.units = unitsOf(config)
  state.commands.push({ type: 'level', level: config.logLevel })
  if (state.units.length === 0) {
    log(
      state,
      'error',
      `${config.file ?? 'The configuration'} has nothing to run: it needs ${state.options.withoutWeb ? '' : '`web`, '}\`consumers\`, \`forward\`, \`gateway\`, \`exec\` or \`hooks\``,
    )
    return beginStop(state, 'quick', EXIT.config)
  }
  for (const unit of state.units) addSlots(state, unit)
  const host = state.slots.get('hooks')
  if (host) {
    child.canary = false
    child.deadline = undefined
    host.current = child
  } else {
    stopChild(state, child, 'stop', LOADER_STOP_MS)
  }
  state.steps = stepsFor(config, state.generation, false)
  state.phase = 'preparing'
  state.commands.push({ type: 'prepare', config })
}

function onExit(state: State, child: Child, exit: Exit): void {
  state.children.delete(child.id)
  state.dev?.graph.ended(child.id)
  release(state)
  const how = endOf(child, exit)
  const about = processOf(child)
  if (about) tellHook(state, 'childExit', { ...about, code: exit.code, signal: exit.signal, reason: how }, child)
  for (const waiting of state.children.values()) if (waiting.fork?.host === child.id) fork(state, waiting)
  if (state.stop) {
    // The child's own word that it could not finish, see its exit codes.
    if (exit.code === EXIT.stopBudget && child.phase === 'stopping') noteCut(state, child)
    log(state, 'debug', `${child.label} ${how}`, { unit: child.label, pid: child.pid })
    return
  }
  if (state.loader === child) {
    if (state.dev && waitsForConfig(state, state.dev)) return log(state, 'warn', 'The configuration does not load; it waits for a change')
    log(state, 'error', `Not started: the configuration ${headOf(how)}`, { unit: child.label, reason: how })
    return beginStop(state, 'quick', EXIT.config)
  }
  const { steps, reload } = state
  if (steps?.current === child) return onStartStepEnded(state, steps, exit.code, how)
  if (reload?.steps?.current === child) return reloadStepEnded(state, reload, reload.steps, { code: exit.code, how })
  const slot = [...state.slots.values()].find(({ current, next }) => current === child || next === child)
  if (slot?.next === child) {
    slot.next = undefined
    if (state.reload) successorLost(state, state.reload, child, how)
    else if (state.dev && !isRenewed(state, slot)) changeLost(state, state.dev, slot, child, how)
    else renewalLost(state, slot, child, how)
  } else if (slot && child.phase !== 'stopping') {
    crashed(state, slot, child, how)
  } else if (slot) {
    slot.current = undefined
  } else if (state.reload && isPartOf(state, child)) {
    reloadLost(state, state.reload, child, how)
  } else {
    log(state, child.unit.name === 'config' ? 'debug' : 'info', `${child.label} stopped`, { unit: child.label, pid: child.pid })
  }
}

function onStartStepEnded(state: State, steps: Steps, code: number | null, how: string): void {
  const failure = stepEnded(state, steps, code, how)
  if (failure === undefined) return
  log(state, 'error', `Not started: ${failure}`)
  beginStop(state, 'graceful', EXIT.unitFailed)
}

/** A process the reload waits for, rather than one that was asked to go. */
function isPartOf(state: State, child: Child): boolean {
  const { reload } = state
  if (!reload || reload.step === 'rolling' || child.phase === 'stopping') return false
  return reload.loader === child || [...reload.canaries.values()].includes(child)
}

function withoutWeb({ web: _web, ...rest }: ResolvedConfig): ResolvedConfig {
  return rest
}
