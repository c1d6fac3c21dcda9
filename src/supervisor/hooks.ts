/** What the hook host is told, and what waits for it. The hooks are the user's: whatever becomes of one, the master goes on. */
import type { HookGiven } from '../config/hooks.ts'
import type { CalledHook, HookCall } from './protocol.ts'
import type { Child, State } from './state.ts'
import { isUsers } from './units.ts'

/** Tells of something that has happened, to the host of the config that `about` was started with. */
export function tellHook<Name extends CalledHook>(state: State, name: Name, given: HookGiven<Name>, about?: Child): void {
  const host = hostWith(state, name, about)
  if (host) send(state, host, 0, { name, given } as HookCall)
}

/** Asks for `preFork` of a process that is to be started. Returns the host that will answer with the child's id; undefined where nothing is to be waited for. */
export function askPreFork(state: State, child: Child): Child | undefined {
  const host = isUsers(child.unit) ? hostWith(state, 'preFork', child) : undefined
  if (host) send(state, host, child.id, { name: 'preFork', given: { unit: child.unit.name, label: child.label } })
  return host
}

/** What a process is called in the hooks about it; undefined for those that no hook is about, and where none was started. */
export function processOf(child: Child): { readonly unit: string; readonly label: string; readonly pid: number } | undefined {
  return isUsers(child.unit) && child.pid !== undefined ? { unit: child.unit.name, label: child.label, pid: child.pid } : undefined
}

/** `nworkersChanged`, as soon as there is a host that has it. */
export function tellSizes(state: State): void {
  if (!hostWith(state, 'nworkersChanged')) return
  const sizes = new Map(state.units.filter(isUsers).map(({ name, size, threads }) => [name, threads ?? size]))
  for (const name of state.toldSizes.keys()) if (!sizes.has(name)) sizes.set(name, 0)
  for (const [unit, size] of sizes) {
    const before = state.toldSizes.get(unit)
    if (before === size) continue
    if (size > 0) state.toldSizes.set(unit, size)
    else state.toldSizes.delete(unit)
    tellHook(state, 'nworkersChanged', { unit, size, ...(before !== undefined && { before }) })
  }
}

function hostWith(state: State, name: CalledHook, about?: Child): Child | undefined {
  const isNew = about !== undefined && about.generation > state.generation
  const config = isNew ? state.reload?.config : state.config
  const host = isNew ? state.reload?.canaries.get('hooks') : state.slots.get('hooks')?.current
  return config?.hooks.includes(name) && host?.phase === 'ready' && host.killedAt === undefined ? host : undefined
}

function send(state: State, host: Child, id: number, call: HookCall): void {
  state.commands.push({ type: 'send', child: host.id, message: { type: 'hook', id, call } })
}
