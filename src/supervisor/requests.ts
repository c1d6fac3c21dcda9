/** What comes over the control socket, but for `status` and `logs`, which change nothing and are answered outside. */
import type { ControlRequest } from './control-protocol.ts'
import { EXIT } from './exit-codes.ts'
import { wantReload } from './reload.ts'
import { NO_CRASHES } from './restart-policy.ts'
import { scale } from './slots.ts'
import { log, reply, type Slot, type State } from './state.ts'
import { beginStop } from './stop.ts'

export function onRequest(state: State, asker: number, request: Exclude<ControlRequest, { verb: 'status' | 'logs' }>): void {
  if (request.verb === 'stop') {
    state.stopAskers.push(asker)
    // Asked again it is waited for, not cut short as by a second signal.
    if (!state.stop) beginStop(state, 'graceful', EXIT.stopped)
    return
  }
  const refuse = (error: string): void => reply(state, asker, { ok: false, error })
  if (state.stop) return refuse('the master stops')
  switch (request.verb) {
    case 'reload':
      state.reloadAskers.push(asker)
      return wantReload(state)
    case 'restart':
      return restart(state, asker, request.unit, refuse)
    case 'scale': {
      const unit = state.units.find(({ name }) => name === request.unit)
      const refusal = unit ? scale(state, unit, request.size) : unknown(state, request.unit)
      if (refusal !== undefined) return refuse(refusal)
      return reply(state, asker, {
        ok: true,
        message: `${request.size} ${unit?.threads === undefined ? 'processes' : 'threads'} of ${request.unit} wanted`,
      })
    }
  }
}

function restart(state: State, asker: number, name: string, refuse: (error: string) => void): void {
  const slots = [...state.slots.values()].filter(({ unit, label }) => unit.name === name || label === name)
  if (slots.length === 0) return refuse(unknown(state, name))
  if (slots.some(({ unit }) => unit.stage === 'broker')) return refuse('the broker never changes hands: it is restarted with the master')
  if (state.phase !== 'running') return refuse('the start is under way')
  if (state.resting) return refuse('the workers rest, while the new master has the work')
  if (state.refusal) return refuse(`the last reload was refused, so a new process would not start (${state.refusal.reason})`)
  const labels = slots.map(({ label }) => label)
  log(state, 'info', `Restarting ${labels.join(', ')}`)
  for (const slot of slots) revive(slot)
  const targets = new Map(slots.flatMap(({ label, current }) => (current ? [[label, current.id] as const] : [])))
  state.renewals.push({ labels, targets, asker })
}

/** One that was given up, or waits after a crash, starts at once. */
function revive(slot: Slot): void {
  if (slot.failed !== undefined) slot.crashes = NO_CRASHES
  slot.failed = undefined
  slot.retryAt = undefined
}

function unknown(state: State, name: string): string {
  const names = new Set([...state.units.map((unit) => unit.name), ...state.slots.keys()])
  return `there is no unit ${JSON.stringify(name)}; there are ${[...names].join(', ')}`
}
