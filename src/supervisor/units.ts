/** What is to run: the resolved config as a list of units. */
import type { ResolvedConfig, ResolvedRestart } from '../config/types.ts'
import type { Limits } from './limits.ts'
import type { Role } from './protocol.ts'

/** The parts of the process tree, in the order they start. They stop in the reverse order. */
export const STAGES = ['broker', 'hooks', 'consumers', 'web'] as const
export type Stage = (typeof STAGES)[number]

export interface Unit {
  /** `web`, `hooks`, `broker` or the consumer's name. */
  readonly name: string
  readonly stage: Stage
  readonly role: Role
  /** Processes wanted. */
  readonly size: number
  /** Of a unit that is one process with threads: how many of those. */
  readonly threads?: number
  readonly consumer?: string
  readonly startTimeoutMs: number
  /** 0 never. */
  readonly heartbeatTimeoutMs: number
  readonly restart: ResolvedRestart
  /** When a process is replaced that works well; absent: never. */
  readonly limits?: Limits
}

/** Reading a store after a crash takes its time, but not for ever. */
const BROKER_START_MS = 60_000
const OWN_HEARTBEAT_MS = 30_000

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
  for (const [name, consumer] of Object.entries(consumers)) {
    const { startTimeoutMs, heartbeatTimeoutMs } = consumer
    rest.push({
      name,
      stage: 'consumers',
      role: 'consumers',
      ...sizeOf(consumer.kind, consumer.instances),
      consumer: name,
      startTimeoutMs,
      heartbeatTimeoutMs,
      restart: consumer.restart,
      limits: consumer,
    })
  }
  if (web) {
    const { startTimeoutMs, heartbeatTimeoutMs } = web
    rest.push({
      name: 'web',
      stage: 'web',
      role: 'web',
      ...sizeOf(web.kind, web.workers),
      startTimeoutMs,
      heartbeatTimeoutMs,
      restart: web.restart,
      limits: web,
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

/** `web.1`, `video.2`; the hook host and the broker, of which there is one, have no number. */
export function labelOf(unit: Unit, index: number): string {
  return unit.stage === 'hooks' || unit.stage === 'broker' ? unit.name : `${unit.name}.${index}`
}

/** The config with another number of threads in that unit. */
export function withThreads(config: ResolvedConfig, { stage, consumer: name = '' }: Unit, threads: number): ResolvedConfig {
  if (stage === 'web') return { ...config, ...(config.web && { web: { ...config.web, workers: threads } }) }
  const consumer = config.consumers[name]
  return { ...config, consumers: { ...config.consumers, ...(consumer && { [name]: { ...consumer, instances: threads } }) } }
}

/** What rests while a second master has the work. */
export const isWorker = ({ stage }: Unit): boolean => stage === 'web' || stage === 'consumers'

/** What a reload cannot change, by the name a user knows; such a change waits for a restart. */
export function needsRestart(old: ResolvedConfig, fresh: ResolvedConfig): string[] {
  const pairs: [string, unknown, unknown][] = [
    ['bus.data', old.bus.data, fresh.bus.data],
    ['bus.listen', old.bus.listen, fresh.bus.listen],
    ['bus.url', old.bus.builtin, fresh.bus.builtin],
    ['pidFile', old.pidFile, fresh.pidFile],
    ['probes', old.probes, fresh.probes],
  ]
  return pairs.filter(([, before, after]) => before !== after).map(([name]) => name)
}

/** The new config with what only a restart can change left as it is. */
export function keepUnchangeable(old: ResolvedConfig, fresh: ResolvedConfig): ResolvedConfig {
  const { pidFile: _pidFile, probes: _probes, ...rest } = fresh
  const { listen: _listen, ...bus } = fresh.bus
  const kept =
    old.bus.builtin === fresh.bus.builtin ? { urls: bus.urls, builtin: bus.builtin } : { urls: old.bus.urls, builtin: old.bus.builtin }
  return {
    ...rest,
    bus: { ...kept, data: old.bus.data, ...(old.bus.listen !== undefined && { listen: old.bus.listen }) },
    ...(old.pidFile !== undefined && { pidFile: old.pidFile }),
    ...(old.probes !== undefined && { probes: old.probes }),
  }
}
