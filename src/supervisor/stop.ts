/** The ordered stop, under one budget. */
import { killChild, stopChild } from './children.ts'
import { EXIT } from './exit-codes.ts'
import { cancelRenewals } from './renewal.ts'
import { type Child, log, now, reply, type State, type Stop } from './state.ts'
import { STAGES, type Stage } from './units.ts'

/** How the budget is shared among the stages still to stop; what one does not use goes to those after it. */
const WEIGHTS: Readonly<Record<Stage, number>> = { forward: 4, web: 3, consumers: 4, gateway: 1, hooks: 2, broker: 1 }
const ORDER = STAGES.toReversed()
/** Ctrl-C: enough to settle and say goodbye, not to finish long work. */
const QUICK_MS = 3_000
/** Gunicorn's figure for a graceful stop that is asked for again. */
const HURRY_MS = 2_000
const SAME_SIGNAL_MS = 250
const STOPS = 'the master stops'

/** Starts stopping. Asked again, a graceful stop becomes a quick one; asked once more, what is left is killed. */
export function beginStop(state: State, mode: Stop['mode'], exitCode: number): void {
  if (state.phase === 'ended') return
  if (state.stop) return hurry(state, state.stop)
  const gracefulMs = state.config?.gracefulTimeoutMs ?? QUICK_MS
  const budgetMs = mode === 'graceful' ? gracefulMs : Math.min(gracefulMs, QUICK_MS)
  log(state, 'info', `Stopping, within ${budgetMs / 1000} s`, { mode, exitCode })
  state.phase = 'stopping'
  state.stop = {
    mode,
    hurried: false,
    exitCode,
    askedAt: now(state),
    deadlineAt: now(state) + budgetMs,
    stage: 0,
    stageBegun: false,
    cut: [],
  }
  state.commands.push({ type: 'notify', state: 'stopping' })
  for (const asker of [...(state.reload?.askers ?? []), ...state.reloadAskers.splice(0)]) reply(state, asker, { ok: false, error: STOPS })
  cancelRenewals(state, STOPS)
  state.reload = undefined
  state.reloadWanted = false
  state.commands.push({ type: 'unbind', except: undefined })
  for (const child of state.children.values()) if (child.phase === 'loading' || child.phase === 'forking') killChild(state, child)
}

/** Goes on with the stop as far as it can now; exits when nothing is left. */
export function advanceStop(state: State, stop: Stop): void {
  for (;;) {
    const stage = ORDER[stop.stage]
    if (stage === undefined) return finish(state, stop)
    const members = membersOf(state, stage)
    if (members.length > 0) {
      if (!stop.stageBegun) beginStage(state, stop, stage, members)
      return
    }
    stop.stage++
    stop.stageBegun = false
  }
}

/** A child ended by its deadline, or said that it had to cut work off. */
export function noteCut(state: State, child: Child): void {
  if (state.stop && !state.stop.cut.includes(child.label)) state.stop.cut.push(child.label)
}

function hurry(state: State, stop: Stop): void {
  // A Ctrl-C under npm arrives twice: from the terminal, and once more from npm.
  if (now(state) - stop.askedAt < SAME_SIGNAL_MS) return
  stop.askedAt = now(state)
  if (stop.mode === 'graceful' && !stop.hurried) {
    stop.hurried = true
    stop.deadlineAt = Math.min(stop.deadlineAt, now(state) + HURRY_MS)
    log(state, 'warn', `Asked again to stop: what is left has ${(stop.deadlineAt - now(state)) / 1000} s`)
    stop.stageBegun = false
    return
  }
  log(state, 'warn', 'Asked once more to stop: what is left is killed')
  for (const child of state.children.values()) {
    if (child.killedAt !== undefined) continue
    noteCut(state, child)
    killChild(state, child)
  }
}

function beginStage(state: State, stop: Stop, stage: Stage, members: readonly Child[]): void {
  stop.stageBegun = true
  const left = ORDER.slice(stop.stage).filter((later) => membersOf(state, later).length > 0)
  const weight = left.reduce((sum, later) => sum + WEIGHTS[later], 0)
  const shareMs = (Math.max(0, stop.deadlineAt - now(state)) * WEIGHTS[stage]) / weight
  for (const child of members) stopChild(state, child, stop.mode === 'quick' ? 'quick' : 'stop', shareMs)
}

function membersOf(state: State, stage: Stage): Child[] {
  return [...state.children.values()].filter((child) => child.unit.stage === stage)
}

function finish(state: State, stop: Stop): void {
  state.phase = 'ended'
  const isCut = stop.cut.length > 0
  const overrun = stop.mode === 'graceful' && isCut
  const code = stop.exitCode === EXIT.stopped && overrun ? EXIT.stopBudget : stop.exitCode
  const message = isCut ? `Stopped, but cut off: ${stop.cut.join(', ')}` : 'Stopped'
  log(state, overrun ? 'error' : isCut ? 'warn' : 'info', message, isCut ? { cut: stop.cut } : {})
  for (const asker of state.stopAskers.splice(0)) reply(state, asker, { ok: true, message, code })
  state.commands.push({ type: 'exit', code })
}
