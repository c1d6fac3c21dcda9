/** What is to run: the resolved config as a list of units. */
import { isDeepStrictEqual } from 'node:util'
import type { ResolvedExec } from '../config/exec.ts'
import type { ResolvedConfig } from '../config/types.ts'
import type { Resolved, ResolvedRestart, UnitConfig } from '../config/unit.ts'
import type { CommandSpec } from './exec/command.ts'
import type { Limits } from './limits.ts'
import type { Role } from './protocol.ts'

/**
 * The parts of the process tree, in the order they start. They stop in the reverse order: what uses another part starts after it, and is
 * done before it goes.
 */
export const STAGES = ['broker', 'hooks', 'gateway', 'consumers', 'web', 'forward'] as const
export type Stage = (typeof STAGES)[number]

export interface Unit {
  /** `web`, `hooks`, `broker`, `gateway`, or the name of a consumer, a command or one under `forward`. */
  readonly name: string
  readonly stage: Stage
  readonly role: Role
  /** Processes wanted. */
  readonly size: number
  /** Of a unit that is one process with threads: how many of those. */
  readonly threads?: number
  readonly consumer?: string
  /** Which of those under `forward`. */
  readonly forward?: string
  /** Of the role `exec`. */
  readonly spec?: CommandSpec
  /** Longest a stop may take, within the share of its stage. */
  readonly gracefulTimeoutMs?: number
  /** A successor is started when the process it replaces is gone. */
  readonly isOldFirst?: boolean
  /** 0 never. */
  readonly startTimeoutMs: number
  /** 0 never. */
  readonly heartbeatTimeoutMs: number
  readonly restart: ResolvedRestart
  /** So many of its processes must be ready for the whole to be; absent: all. */
  readonly minReady?: number
  /** When a process is replaced that works well; absent: never. */
  readonly limits?: Limits
}

/** Reading a store after a crash takes its time, but not for ever. */
const BROKER_START_MS = 60_000
const OWN_HEARTBEAT_MS = 30_000
const OWN_START_MS = 30_000

export function unitsOf(config: ResolvedConfig): readonly Unit[] {
  const { web, consumers, hooks, restart, hookTimeoutMs } = config
  const rest: Unit[] = []
  if (hooks.length > 0) {
    rest.push({
      name: 'hooks',
      stage: 'hooks',
      role: 'config',
      size: 1,
      // `onStarting`, and one of `whenReady` and `onReload`.
      startTimeoutMs: 2 * hookTimeoutMs,
      // A hook may compute for as long as it may take.
      heartbeatTimeoutMs: Math.max(OWN_HEARTBEAT_MS, hookTimeoutMs),
      restart,
    })
  }
  if (config.gateway) {
    rest.push({
      name: 'gateway',
      stage: 'gateway',
      role: 'gateway',
      size: 1,
      startTimeoutMs: OWN_START_MS,
      heartbeatTimeoutMs: OWN_HEARTBEAT_MS,
      restart: config.gateway.restart,
    })
  }
  for (const [name, consumer] of Object.entries(consumers)) {
    rest.push({
      name,
      stage: 'consumers',
      role: 'consumers',
      ...sizeOf(consumer.kind, consumer.instances),
      consumer: name,
      heartbeatTimeoutMs: consumer.heartbeatTimeoutMs,
      ...inCommon(consumer),
    })
  }
  for (const [name, exec] of Object.entries(config.exec)) rest.push(commandUnit(name, exec))
  if (web) {
    rest.push({
      name: 'web',
      stage: 'web',
      role: 'web',
      ...sizeOf(web.kind, web.workers),
      heartbeatTimeoutMs: web.heartbeatTimeoutMs,
      ...inCommon(web),
    })
  }
  for (const [name, forward] of Object.entries(config.forward)) {
    rest.push({
      name,
      stage: 'forward',
      role: 'forward',
      size: forward.instances,
      forward: name,
      heartbeatTimeoutMs: forward.heartbeatTimeoutMs,
      ...inCommon(forward),
    })
  }
  if (!config.bus.builtin || rest.length === 0) return rest
  const broker: Unit = {
    name: 'broker',
    stage: 'broker',
    role: 'broker',
    size: 1,
    startTimeoutMs: BROKER_START_MS,
    heartbeatTimeoutMs: OWN_HEARTBEAT_MS,
    restart,
  }
  return [broker, ...rest]
}

function sizeOf(kind: 'process' | 'thread', workers: number): Pick<Unit, 'size' | 'threads'> {
  return kind === 'thread' ? { size: 1, threads: workers } : { size: workers }
}

function commandUnit(name: string, exec: ResolvedExec): Unit {
  const { command, cwd, env, ready, stopSignal, instances, gracefulTimeoutMs, replace } = exec
  return {
    name,
    stage: 'consumers',
    role: 'exec',
    size: instances,
    spec: { command, cwd, env, ready, stopSignal },
    heartbeatTimeoutMs: 0,
    ...(gracefulTimeoutMs !== undefined && { gracefulTimeoutMs }),
    isOldFirst: replace === 'old-first',
    ...inCommon(exec),
  }
}

/** Of every unit that may be several processes. */
function inCommon(given: Resolved<UnitConfig> & Limits): Pick<Unit, 'startTimeoutMs' | 'restart' | 'minReady' | 'limits'> {
  const { startTimeoutMs, restart, minReady } = given
  return { startTimeoutMs, restart, minReady, limits: given }
}

/** The commands of `preStart`, in their order: each a unit of a process that is over when it has ended. */
export function stepsOf({ preStart, restart }: ResolvedConfig, inReload: boolean): Unit[] {
  const units = preStart.map(({ command, cwd, env, timeoutMs }, index) => ({
    name: `${STEP}.${index + 1}`,
    // They stop where hooks do, after which only the broker is left.
    stage: 'hooks' as const,
    role: 'exec' as const,
    size: 1,
    spec: { command, cwd, env, ready: 'exit' as const, stopSignal: 'SIGTERM' as const },
    startTimeoutMs: timeoutMs,
    heartbeatTimeoutMs: 0,
    restart,
  }))
  return units.filter((_, index) => !inReload || preStart[index]?.onReload)
}

const STEP = 'preStart'
/** As Gunicorn's. */
const GATEWAY_BACKLOG = 2048

/** `web.1`, `video.2`; the hook host, the broker and the gateway, of which there is one, have no number. */
export function labelOf(unit: Unit, index: number): string {
  return isAlone(unit) ? unit.name : `${unit.name}.${index}`
}

/** The config with another number of threads in that unit. */
export function withThreads(config: ResolvedConfig, { stage, consumer: name = '' }: Unit, threads: number): ResolvedConfig {
  if (stage === 'web') return { ...config, ...(config.web && { web: { ...config.web, workers: threads } }) }
  const consumer = config.consumers[name]
  return { ...config, consumers: { ...config.consumers, ...(consumer && { [name]: { ...consumer, instances: threads } }) } }
}

/** There is never more than one of it. */
export const isAlone = ({ stage }: Unit): boolean => stage === 'hooks' || stage === 'broker' || stage === 'gateway'

/** What a reload replaces by way of a first one, and what rests while a second master has the work. */
export const isWorker = ({ stage }: Unit): boolean => stage !== 'broker' && stage !== 'hooks'

/** A consumer of the bus: it says when it is connected, and subscribes when it is told to. */
export const isConsumer = ({ role }: Unit): boolean => role === 'consumers' || role === 'forward'

/** Runs code of the user's, whose hooks are told of it. */
export const isUsers = ({ stage }: Unit): boolean => stage === 'web' || stage === 'consumers'

export interface Listening {
  /** `host:port`, `unix:/path` or `fd://N`. */
  readonly address: string
  /** Where the config names it. */
  readonly key: string
  readonly backlog: number
}

/** What the master binds, of all units or of those of one role. */
export function listeningOf({ web, gateway }: Pick<ResolvedConfig, 'web' | 'gateway'>, role?: Role): readonly Listening[] {
  const ofWeb = (web?.bind ?? []).map((address) => ({ address, key: 'web.bind', backlog: web?.backlog ?? 0 }))
  const ofGateway = gateway ? [{ address: gateway.listen, key: 'gateway.listen', backlog: GATEWAY_BACKLOG }] : []
  return [...(role === 'gateway' ? [] : ofWeb), ...(role === 'web' ? [] : ofGateway)]
}

/** What a reload cannot change, by the name a user knows; such a change waits for a restart. */
export function needsRestart(old: ResolvedConfig, fresh: ResolvedConfig): string[] {
  const pairs: [string, unknown, unknown][] = [
    ['bus.data', old.bus.data, fresh.bus.data],
    ['bus.listen', old.bus.listen, fresh.bus.listen],
    ['bus.url', old.bus.builtin, fresh.bus.builtin],
    ['pidFile', old.pidFile, fresh.pidFile],
    ['umask', old.processes.umask, fresh.processes.umask],
    ['probes', old.probes, fresh.probes],
    ['statsd', old.statsd, fresh.statsd],
  ]
  return pairs.filter(([, before, after]) => !isDeepStrictEqual(before, after)).map(([name]) => name)
}

/** The new config with what only a restart can change left as it is. */
export function keepUnchangeable(old: ResolvedConfig, fresh: ResolvedConfig): ResolvedConfig {
  const { pidFile: _pidFile, probes: _probes, statsd: _statsd, ...rest } = fresh
  const { listen: _listen, ...bus } = fresh.bus
  const kept =
    old.bus.builtin === fresh.bus.builtin ? { urls: bus.urls, builtin: bus.builtin } : { urls: old.bus.urls, builtin: old.bus.builtin }
  return {
    ...rest,
    bus: { ...kept, data: old.bus.data, ...(old.bus.listen !== undefined && { listen: old.bus.listen }) },
    ...(old.pidFile !== undefined && { pidFile: old.pidFile }),
    ...(old.probes !== undefined && { probes: old.probes }),
    ...(old.statsd !== undefined && { statsd: old.statsd }),
  }
}
