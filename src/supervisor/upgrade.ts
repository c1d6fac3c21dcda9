/**
 * A second master in the place of this one: USR2 starts it with the listening sockets, WINCH lets the workers here rest once it
 * is ready, TERM then ends this one. HUP instead takes the work back. Only one level deep, as in Gunicorn.
 */
import { retire } from './children.ts'
import type { Event } from './events.ts'
import { tellHook } from './hooks.ts'
import { cancelRenewals } from './renewal.ts'
import { log, type State } from './state.ts'
import { isWorker } from './units.ts'

/** USR2. */
export function wantUpgrade(state: State): void {
  const refusal = whyNot(state)
  if (refusal !== undefined) return log(state, 'warn', `No second master is started: ${refusal}`)
  log(state, 'info', 'Starting a second master, which takes over the listening sockets')
  tellHook(state, 'preExec', {})
  state.successor = { pid: undefined, ready: false }
  state.commands.push({ type: 'upgrade' })
}

function whyNot({ options, phase, reload, predecessor, successor }: State): string | undefined {
  if (options.cannotUpgrade !== undefined) return options.cannotUpgrade
  if (phase !== 'running' || reload) return 'a start, reload or stop is under way'
  if (predecessor !== undefined) return `this is one itself, and the first, ${predecessor}, still runs`
  return successor && `there is one already: ${successor.pid ?? 'it starts'}`
}

export function onSuccessor(state: State, event: Extract<Event, { type: 'successor' }>): void {
  const { successor } = state
  if (!successor) return
  if (event.is === 'started') successor.pid = event.pid
  if (event.is === 'ready') {
    successor.ready = true
    log(
      state,
      'info',
      `The new master ${successor.pid} is ready: TERM ends this one, WINCH lets its workers rest before, HUP takes them back`,
    )
  }
  if (event.is !== 'gone') return
  state.successor = undefined
  if (!state.stop) log(state, 'error', `The new master ${successor.pid ?? ''} ${event.how}; this one goes on`)
  wake(state)
}

/** WINCH. A terminal sends it too, whenever its window changes its size. */
export function rest(state: State): void {
  const { successor } = state
  if (!successor) return log(state, 'debug', 'SIGWINCH lets the workers rest only where a second master serves in their place')
  if (!successor.ready || state.reload || state.stop || state.resting) {
    const why = successor.ready ? 'a reload, a stop or another SIGWINCH is under way' : `the new master ${successor.pid} is not ready yet`
    return log(state, 'warn', `The workers go on: ${why}`)
  }
  log(state, 'info', `The workers rest: the new master ${successor.pid} has the work. HUP takes it back, TERM ends this one`)
  state.resting = true
  cancelRenewals(state, 'the workers rest')
  for (const slot of state.slots.values()) {
    if (!isWorker(slot.unit)) continue
    slot.retryAt = undefined
    retire(state, slot.current)
  }
}

export function wake(state: State): void {
  if (!state.resting) return
  state.resting = false
  if (!state.stop) log(state, 'info', 'The workers of this master take the work again')
}

/** The master this one was started by is gone. */
export function onPredecessorGone(state: State): void {
  if (state.predecessor === undefined) return
  log(state, 'info', `Master ${state.predecessor} is gone, and this one has taken over`)
  state.predecessor = undefined
  state.commands.push({ type: 'inherit' })
}
