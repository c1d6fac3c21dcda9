/** What can be done to one process. */
import type { ResolvedConfig } from '../config/types.ts'
import type { Exit } from './events.ts'
import { askPreFork } from './hooks.ts'
import { ownLimits } from './limits.ts'
import type { StartCause } from './protocol.ts'
import { type Child, log, now, type State } from './state.ts'
import { isConsumer, isWorker, type Unit } from './units.ts'

/** Importing a config file may wait for things, but not for ever. */
const LOAD_TIMEOUT_MS = 30_000
/** A hook that overruns is reported by its host, which knows which one it was; the master only backs it up. */
const HOOK_SLACK_MS = 1_000
/** For a config child whose work is done. */
export const LOADER_STOP_MS = 1_000
/** Most brokers that are there at all are reached by then; the next beat after it lets the start go on. */
const CONNECT_MS = 2_000
/** For a child that never served anything. */
const UNREADY_STOP_MS = 2_000
/** Under `dev` nobody wants to wait for what old code does. */
const DEV_STOP_MS = 2_000

/** What a process is while all it does is to read the config. */
const LOADER: Unit = Object.freeze({
  name: 'config',
  stage: 'hooks',
  role: 'config',
  size: 1,
  startTimeoutMs: LOAD_TIMEOUT_MS,
  heartbeatTimeoutMs: 0,
  restart: { minMs: 1, maxMs: 1, maxCrashes: 1, windowMs: 1 },
})

export interface SpawnOptions {
  readonly config: ResolvedConfig | undefined
  readonly generation: number
  readonly canary?: boolean
}

/** Starts a process, after `preFork` where there is one: the config role with `load`, the others with `start`. */
export function spawnChild(state: State, unit: Unit, label: string, { config, generation, canary = false }: SpawnOptions): Child {
  const child: Child = {
    id: state.nextId++,
    unit,
    label,
    generation,
    startedAt: now(state),
    phase: 'starting',
    canary,
    held: false,
    pid: undefined,
    deadline: undefined,
    lastBeatAt: now(state),
    status: {},
    connectingSince: undefined,
    reason: undefined,
    configFault: false,
    killedAt: undefined,
    limits: ownLimits(unit.limits, now(state), state.options.random),
    spent: undefined,
    fork: undefined,
  }
  state.children.set(child.id, child)
  const host = askPreFork(state, child)
  if (!host || !config) {
    launch(state, child, config)
    return child
  }
  child.phase = 'forking'
  child.fork = { host: host.id, config }
  child.deadline = { at: now(state) + config.hookTimeoutMs + HOOK_SLACK_MS, why: 'fork' }
  return child
}

/** `preFork` has ended, or its host cannot say any more. */
export function fork(state: State, child: Child): void {
  if (!child.fork) return
  const { config } = child.fork
  child.fork = undefined
  child.startedAt = now(state)
  child.lastBeatAt = now(state)
  child.limits = ownLimits(child.unit.limits, now(state), state.options.random)
  launch(state, child, config)
}

function launch(state: State, child: Child, config: ResolvedConfig | undefined): void {
  const { unit, label } = child
  state.commands.push({ type: 'spawn', child: child.id, role: unit.role, label, config, ...(unit.spec && { spec: unit.spec }) })
  if (unit.role === 'config') {
    const { file, root, overrides } = state.options
    child.phase = 'loading'
    child.deadline = { at: now(state) + LOAD_TIMEOUT_MS, why: 'load' }
    state.commands.push({ type: 'send', child: child.id, message: { type: 'load', ...(file !== undefined && { file }), root, overrides } })
  } else if (config) {
    startChild(state, child, config)
  }
}

/** A process that is not wanted any more before it was started: nothing else will tell of its end. */
export function dropUnstarted(state: State, child: Child): void {
  state.children.delete(child.id)
  for (const slot of state.slots.values()) {
    if (slot.current === child) slot.current = undefined
    if (slot.next === child) slot.next = undefined
  }
}

/** A process that reads the config; it may become the hook host. */
export function spawnLoader(state: State, generation: number): Child {
  return spawnChild(state, LOADER, LOADER.name, { config: state.config, generation, canary: true })
}

export function becomeHost(state: State, loader: Child, unit: Unit, config: ResolvedConfig): void {
  loader.unit = unit
  loader.label = unit.name
  startChild(state, loader, config)
}

/** Lets a child begin; one of the config role becomes the hook host. */
export function startChild(state: State, child: Child, config: ResolvedConfig): void {
  const { unit, label } = child
  const slack = unit.role === 'config' ? HOOK_SLACK_MS : 0
  child.phase = 'starting'
  child.deadline = unit.startTimeoutMs > 0 ? { at: now(state) + unit.startTimeoutMs + slack, why: 'start' } : undefined
  state.commands.push({
    type: 'send',
    child: child.id,
    message: {
      type: 'start',
      unit: label,
      config,
      ...(unit.consumer !== undefined && { consumer: unit.consumer }),
      ...(unit.forward !== undefined && { forward: unit.forward }),
      ...(unit.role === 'config' && { cause: causeOf(state, child) }),
    },
  })
}

function causeOf(state: State, child: Child): StartCause {
  if (state.reload?.loader === child) return 'reload'
  return state.phase === 'starting' ? 'start' : 'restart'
}

/** Lets a consumer that is ready subscribe, as soon as it may; the other roles work as soon as they are ready. */
export function activate(state: State, child: Child): void {
  child.canary = false
  child.held = isConsumer(child.unit)
  release(state)
}

/** Consumers that held back for a predecessor that has gone meanwhile. */
export function release(state: State): void {
  for (const child of state.children.values()) {
    if (!child.held || child.phase === 'stopping' || (child.status.single === true && hasPredecessor(state, child))) continue
    child.held = false
    state.commands.push({ type: 'send', child: child.id, message: { type: 'activate' } })
  }
}

function hasPredecessor(state: State, { id, label }: Child): boolean {
  return [...state.children.values()].some((other) => other.label === label && other.id < id)
}

/** Asks a child to finish what it holds and end. Asked again, only the earlier deadline counts. */
export function stopChild(state: State, child: Child, reason: 'stop' | 'quick' | 'reload', withinMs: number): void {
  if (child.killedAt !== undefined) return
  if (child.phase === 'forking') return dropUnstarted(state, child)
  if (child.phase === 'loading') return killChild(state, child)
  const idle = child.phase === 'starting' && isWorker(child.unit)
  const limitMs = Math.min(idle ? UNREADY_STOP_MS : Infinity, child.unit.gracefulTimeoutMs ?? Infinity)
  const deadlineMs = Math.max(1, Math.round(Math.min(withinMs, limitMs)))
  const at = now(state) + deadlineMs
  if (child.phase === 'stopping') {
    if (child.deadline && child.deadline.at > at) child.deadline = { at, why: 'stop' }
    return
  }
  child.phase = 'stopping'
  child.deadline = { at, why: 'stop' }
  state.commands.push({ type: 'send', child: child.id, message: { type: 'stop', reason, deadlineMs } })
}

export function killChild(state: State, child: Child, options: { reason?: string; diagnose?: boolean } = {}): void {
  if (child.killedAt !== undefined) return
  if (child.phase === 'forking') return dropUnstarted(state, child)
  child.killedAt = now(state)
  child.reason ??= options.reason
  child.deadline = undefined
  state.commands.push({ type: 'kill', child: child.id, ...(options.diagnose && { diagnose: child.label }) })
}

/** Ends a child that nobody waits for any more, and that holds nothing. */
export function discard(state: State, child: Child): void {
  if (child.phase === 'forking') return dropUnstarted(state, child)
  child.phase = 'stopping'
  killChild(state, child)
}

/** Ends a child whose place was taken or is gone, and gives it the time to finish what it holds. */
export function retire(state: State, child: Child | undefined): void {
  if (!child || !state.config) return
  const { gracefulTimeoutMs, hookTimeoutMs } = state.config
  if (child.phase !== 'stopping' && child.phase !== 'forking')
    log(state, 'info', `${child.label} stops`, { unit: child.label, pid: child.pid })
  const withinMs = child.unit.stage === 'hooks' ? hookTimeoutMs : gracefulTimeoutMs
  stopChild(state, child, 'reload', state.dev ? Math.min(withinMs, DEV_STOP_MS) : withinMs)
}

/** Loaded and working as far as it can alone: a consumer whose broker stays away is up, or nothing after it would start. */
export function isUp(state: State, child: Child): boolean {
  if (child.phase === 'ready') return true
  return child.phase === 'starting' && child.connectingSince !== undefined && now(state) - child.connectingSince >= CONNECT_MS
}

export function isConnecting(child: Child): boolean {
  return isConsumer(child.unit) && child.status.connected === false
}

/** How it ended, for people. */
export function endOf(child: Child, exit: Exit): string {
  if (exit.error !== undefined) return `could not be started: ${exit.error}`
  if (child.reason !== undefined) return child.reason
  const end = exit.signal !== null ? `was killed by ${exit.signal}` : exit.code === 0 ? 'ended by itself' : `ended with code ${exit.code}`
  if (exit.fatal !== undefined) return `${end}: ${exit.fatal}`
  // Whoever asked for it sees no log.
  return exit.output && child.unit.spec?.ready === 'exit' ? `${end}:\n${exit.output}` : end
}

/** Its first line, for where the child has written the rest to its own log already. */
export function headOf(how: string): string {
  const [line = ''] = how.split('\n')
  return line.replace(/:$/, '')
}
