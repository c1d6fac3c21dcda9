/** Replacing processes one at a time outside a reload, with the config in force: the new one is ready before the old one drains. */
import { headOf, retire, spawnChild } from './children.ts'
import { afterCrash } from './restart-policy.ts'
import { type Child, log, now, type Renewal, reply, type Slot, type State } from './state.ts'

/** Goes on with the first of them as far as it can now. */
export function advanceRenewals(state: State): void {
  if (state.refusal) return cancelRenewals(state, `the last reload was refused, so a new process would not start (${state.refusal.reason})`)
  for (let renewal = firstOf(state); renewal; renewal = firstOf(state)) {
    const failure = advanceRenewal(state, renewal)
    if (failure === undefined) return
    state.renewals.shift()
    reply(
      state,
      renewal.asker,
      failure === '' ? { ok: true, message: `Replaced: ${renewal.labels.join(', ')}` } : { ok: false, error: failure },
    )
  }
}

/** What was asked for goes before what is due. */
function firstOf(state: State): Renewal | undefined {
  if (state.renewals.length === 0) {
    const due = [...state.slots.values()].find(
      ({ current, renewAt }) => current?.phase === 'ready' && current.spent !== undefined && renewAt === undefined,
    )
    if (due?.current) {
      const { label, current } = due
      log(state, 'info', `${label} ${current.spent} and is replaced`, { unit: label, pid: current.pid, status: current.status })
      state.renewals.push({ labels: [label], targets: new Map([[label, current.id]]), asker: undefined })
    }
  }
  return state.renewals[0]
}

/** Undefined while it is under way, empty when it is done, else why it cannot be. */
function advanceRenewal(state: State, { labels, targets }: Renewal): string | undefined {
  for (const label of labels) {
    const slot = state.slots.get(label)
    const target = targets.get(label)
    // Whoever replaced it has done the work. The next one waits until it is gone, so that two are never away at once.
    if (target !== undefined && state.children.has(target)) {
      if (slot?.current?.id !== target) return undefined
      if (slot.unit.isOldFirst) {
        if (slot.current.phase !== 'stopping') retire(state, slot.current)
      } else {
        slot.next ??= spawnChild(state, slot.unit, label, { config: state.config, generation: state.generation, canary: true })
      }
      return undefined
    }
    if (slot?.failed !== undefined) return `${label} ${slot.failed}`
    if (slot && slot.current?.phase !== 'ready') return undefined
  }
  return ''
}

/** The successor in this place is one of a renewal. */
export const isRenewed = (state: State, { label }: Slot): boolean => state.renewals[0]?.labels.includes(label) ?? false

/** A successor ended before it was ready; its predecessor goes on. */
export function renewalLost(state: State, slot: Slot, child: Child, how: string): void {
  log(state, 'warn', `${slot.label} (new) ${headOf(how)}; the old one goes on`, { unit: slot.label, pid: child.pid, reason: how })
  const renewal = state.renewals.shift()
  const verdict = afterCrash(slot.renewalCrashes, slot.unit.restart, now(state), state.options.random())
  slot.renewalCrashes = verdict.crashes
  // One that has reached a limit works still, so it is never given up, only tried less often.
  slot.renewAt = now(state) + (verdict.giveUp ? slot.unit.restart.maxMs : verdict.delayMs)
  reply(state, renewal?.asker, { ok: false, error: `${slot.label} (new) ${how}; the old one goes on` })
}

/** A reload replaces everything itself; what was asked for is looked at again when it is over, and what was due comes due again. */
export function pauseRenewals(state: State): void {
  const asked = state.renewals.filter(({ asker }) => asker !== undefined)
  state.renewals.splice(0, Infinity, ...asked)
  for (const slot of state.slots.values()) {
    retire(state, slot.next)
    slot.next = undefined
  }
}

export function cancelRenewals(state: State, why: string): void {
  pauseRenewals(state)
  for (const { asker } of state.renewals.splice(0)) reply(state, asker, { ok: false, error: why })
}
