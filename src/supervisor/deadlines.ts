/** Everything that happens because time has passed. */
import { fork, killChild } from './children.ts'
import { processOf, tellHook } from './hooks.ts'
import { type Child, log, now, type State } from './state.ts'
import { noteCut } from './stop.ts'

/** A master that comes this late was itself asleep (suspended, stopped by a signal), and has no right to call others silent. */
const ASLEEP_MS = 1_000
/** A process that SIGKILL does not end hangs in the kernel; nobody waits for it. */
const UNKILLABLE_MS = 5_000
const UNKILLABLE_AT_STOP_MS = 1_000

/** When `passDeadlines` has something to do next. */
export function nextDeadline(state: State): number | undefined {
  let next: number | undefined
  const consider = (at: number | undefined): void => {
    if (at !== undefined && (next === undefined || at < next)) next = at
  }
  for (const child of state.children.values()) {
    consider(child.deadline?.at)
    consider(silentAt(child))
    consider(hopelessAt(state, child))
    if (!state.stop) consider(child.spent === undefined ? child.limits?.expiresAt : undefined)
  }
  if (state.stop) return next
  for (const slot of state.slots.values()) {
    consider(slot.retryAt)
    consider(slot.renewAt)
  }
  consider(state.reload?.retryAt)
  return next
}

/** Acts on what is overdue. Returns the children given up on, as gone. */
export function passDeadlines(state: State): Child[] {
  const gone: Child[] = []
  forgiveIfAsleep(state)
  endWaits(state)
  for (const child of state.children.values()) {
    endLife(state, child)
    const { deadline } = child
    const silent = silentAt(child)
    const hopeless = hopelessAt(state, child)
    if (hopeless !== undefined) {
      if (hopeless <= now(state)) gone.push(child)
    } else if (deadline && deadline.at <= now(state)) {
      overdue(state, child, deadline.why)
    } else if (silent !== undefined && silent <= now(state)) {
      const reason = `was silent for ${Math.round((now(state) - child.lastBeatAt) / 100) / 10} s`
      log(state, 'error', `${child.label} ${reason}: its event loop hangs`, { unit: child.label, pid: child.pid, status: child.status })
      const about = processOf(child)
      if (about) tellHook(state, 'onHang', { ...about, silentMs: Math.round(now(state) - child.lastBeatAt) }, child)
      killChild(state, child, { reason: `${reason} and was killed`, diagnose: true })
    }
  }
  return gone
}

/** A wait that is over is taken away even where an earlier stage still holds the restart up: each deadline passes once. */
function endWaits(state: State): void {
  for (const wait of [...state.slots.values(), ...(state.reload ? [state.reload] : [])]) {
    if (wait.retryAt !== undefined && wait.retryAt <= now(state)) wait.retryAt = undefined
  }
  for (const slot of state.slots.values()) if (slot.renewAt !== undefined && slot.renewAt <= now(state)) slot.renewAt = undefined
}

function endLife(state: State, child: Child): void {
  const expiresAt = child.limits?.expiresAt
  if (expiresAt === undefined || expiresAt > now(state)) return
  child.spent ??= `has lived for ${Math.round((now(state) - child.startedAt) / 1000)} s`
}

function hopelessAt({ stop }: State, { killedAt }: Child): number | undefined {
  return killedAt === undefined ? undefined : killedAt + (stop ? UNKILLABLE_AT_STOP_MS : UNKILLABLE_MS)
}

function overdue(state: State, child: Child, why: 'fork' | 'load' | 'start' | 'stop'): void {
  const fields = { unit: child.label, pid: child.pid, status: child.status }
  if (why === 'fork') {
    log(state, 'warn', `hooks.preFork of ${child.label} was not heard of in time; it starts all the same`, fields)
    return fork(state, child)
  }
  if (why === 'stop') {
    const what = child.status.inFlight ? `, ${child.status.inFlight} in flight` : ''
    log(state, 'warn', `${child.label} did not stop in time${what}; it is killed`, fields)
    noteCut(state, child)
    return killChild(state, child)
  }
  const seconds = Math.round((now(state) - child.startedAt) / 100) / 10
  const hint = child.status.connected === false ? ' (its bus is not connected)' : ''
  const missed = why === 'load' ? 'did not finish loading' : child.unit.spec?.ready === 'exit' ? 'was not done' : 'was not ready'
  const reason = `${missed} after ${seconds} s${hint} and was killed`
  log(state, 'error', `${child.label} ${reason}`, fields)
  killChild(state, child, { reason, diagnose: true })
}

/** When its silence becomes a hang; only of a child that works. */
function silentAt(child: Child): number | undefined {
  const { heartbeatTimeoutMs } = child.unit
  const works = child.phase === 'ready' || (child.phase === 'starting' && child.deadline === undefined && child.status.connected === false)
  return works && heartbeatTimeoutMs > 0 && child.killedAt === undefined ? child.lastBeatAt + heartbeatTimeoutMs : undefined
}

function forgiveIfAsleep(state: State): void {
  const due = nextDeadline(state)
  const late = due === undefined ? 0 : now(state) - due
  if (late < ASLEEP_MS) return
  for (const child of state.children.values()) {
    child.lastBeatAt = now(state)
    const { deadline } = child
    if (deadline && deadline.why !== 'stop') child.deadline = { ...deadline, at: deadline.at + late + ASLEEP_MS }
  }
}
