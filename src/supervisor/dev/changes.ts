/** `omnibus dev` in the state machine: a change of a file replaces what has loaded it, and what does not load waits for a change. */
import { relative } from 'node:path'
import { discard, headOf, retire, spawnChild, spawnLoader } from '../children.ts'
import { reloadAnew } from '../reload.ts'
import { NO_CRASHES } from '../restart-policy.ts'
import { slotsOf } from '../slots.ts'
import { type Child, log, now, type Slot, type State } from '../state.ts'
import { CONFIG, type Dev } from './dev.ts'
import { tellFaults } from './faults.ts'

/** Named in the log; the rest is counted. */
const NAMED = 3

export function onChanged(state: State, dev: Dev, files: readonly string[]): void {
  if (state.stop) return
  const touched = dev.graph.unitsOf(files)
  const units = state.units.filter(({ name, stage }) => touched.has(name) && stage !== 'broker')
  const isWhole = touched.has(CONFIG) || (touched.size > 0 && (state.refusal !== undefined || state.reload !== undefined))
  if (!isWhole && units.length === 0) return
  dev.told.clear()
  log(state, 'info', `Changed: ${named(files, state.options.root)}`, { files })
  if (state.phase === 'loading') {
    const stale = state.loader
    state.loader = spawnLoader(state, state.generation)
    if (stale) discard(state, stale)
  } else if (isWhole) {
    dev.change = undefined
    reloadAnew(state)
  } else {
    // A change before that one was live counts as one with it.
    const begun = dev.change
    dev.change = {
      at: begun?.at ?? now(state),
      units: new Set([...(begun?.units ?? []), ...units.map(({ name }) => name)]),
      failed: false,
    }
    for (const slot of state.slots.values()) if (units.includes(slot.unit)) renew(state, slot)
  }
}

/** The new one starts at once, beside the old one if that works; what may have loaded the file in between is worth nothing. */
function renew(state: State, slot: Slot): void {
  slot.crashes = NO_CRASHES
  slot.failed = undefined
  slot.retryAt = undefined
  if (slot.next) discard(state, slot.next)
  slot.next = undefined
  if (slot.current?.phase === 'ready') {
    slot.next = spawnChild(state, slot.unit, slot.label, { config: state.config, generation: state.generation, canary: true })
    return
  }
  if (slot.current) discard(state, slot.current)
  slot.current = undefined
}

/** The successor in one place ended before it was ready. */
export function changeLost(state: State, dev: Dev, slot: Slot, child: Child, how: string): void {
  if (dev.change) dev.change.failed = true
  log(state, 'warn', `${slot.label} (new) ${headOf(how)}; the old one goes on`, { unit: slot.label, pid: child.pid, reason: how })
}

/** The config could not be read at the start. True where a change of what it loaded may mend it. */
export function waitsForConfig(state: State, dev: Dev): boolean {
  state.loader = undefined
  return dev.graph.knows(CONFIG)
}

/** Tells what has become of a change, and sees to it that a web app that does not load is stood in for. */
export function advanceDev(state: State, dev: Dev): void {
  if (state.phase !== 'running') return
  standIn(state, dev)
  const { change } = dev
  if (!change || state.reload) return
  const slots = [...state.slots.values()].filter(({ unit }) => change.units.has(unit.name))
  if (!slots.every(({ current, next, failed }) => !next && (failed !== undefined || current?.phase === 'ready'))) return
  dev.change = undefined
  if (change.failed || slots.some(({ failed }) => failed !== undefined)) return
  log(state, 'info', `Reloaded ${[...change.units].join(', ')} in ${Math.round(now(state) - change.at)} ms`)
}

/** One that works, or none at all: while its successor loads, the page stays. */
function standIn(state: State, dev: Dev): void {
  const { config } = state
  const web = slotsOf(state, 'web')
  const works = web.some(({ current }) => current?.phase === 'ready')
  if (works && dev.standIn) {
    if (state.children.has(dev.standIn.id)) retire(state, dev.standIn)
    dev.standIn = undefined
  }
  const [first] = web
  if (works || dev.standIn || !config?.web || !first || !web.some(({ failed }) => failed !== undefined)) return
  const substitute = { ...config, web: { ...config.web, entry: dev.options.standIn } }
  dev.standIn = spawnChild(state, first.unit, STAND_IN, { config: substitute, generation: state.generation })
  // Before it answers anybody.
  tellFaults(state, dev, dev.standIn)
}

/** Of the web unit, so that it is given the socket. */
const STAND_IN = 'web.stand-in'

function named(files: readonly string[], root: string): string {
  const shown = files.slice(0, NAMED).map((file) => (file.startsWith(`${root}/`) ? relative(root, file) : file))
  return [...shown, ...(files.length > NAMED ? [`${files.length - NAMED} more`] : [])].join(', ')
}
