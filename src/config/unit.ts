/** What units have in common, whatever runs in them. */
import type { Problem } from '../core/errors.ts'
import { type Fields, object, whole } from '../core/options.ts'
import type { Environment } from './environment.ts'

/** Of every unit that may be several processes. */
export interface UnitConfig {
  /** It must be ready by then: listen, be loaded and connected, or what `ready` says. Milliseconds. @default 30_000 */
  startTimeoutMs?: number
  /** So many of its processes must be ready for the whole to be; all of them where it is larger. 0 to do without. @default 1 */
  minReady?: number
  /** A process this old is replaced, the new one first where two can be. Milliseconds; 0 never. @default 0 */
  maxLifetimeMs?: number
  /** Up to this much is added, at random for each process. Milliseconds. @default 0 */
  maxLifetimeJitterMs?: number
  /** A process whose resident memory is larger is replaced. MiB; 0 never. @default 0 */
  maxMemoryMb?: number
  restart?: RestartConfig
}

/** Of those but `web`, which counts its `workers`. */
export interface CountedConfig extends UnitConfig {
  /** @default 1 */
  instances?: number
}

export interface RestartConfig {
  /** First wait after a crash, doubled each time up to `maxMs`, with jitter. @default 100 */
  minMs?: number
  /** @default 30_000 */
  maxMs?: number
  /** Dead for good after this many crashes within `windowMs`. @default 5 */
  maxCrashes?: number
  /** @default 60_000 */
  windowMs?: number
}

export type ResolvedRestart = Required<RestartConfig>

/** Every default filled in; what is `Open` has none, and may still be absent. */
export type Resolved<T extends { restart?: RestartConfig }, Open extends keyof T = never> = Readonly<Required<Omit<T, 'restart' | Open>>> &
  Readonly<Pick<T, Open>> & { readonly restart: ResolvedRestart }

const RESTART: ResolvedRestart = { minMs: 100, maxMs: 30_000, maxCrashes: 5, windowMs: 60_000 }

export const restart = object<RestartConfig>({
  minMs: whole({ min: 1 }),
  maxMs: whole({ min: 1 }),
  maxCrashes: whole({ min: 1 }),
  windowMs: whole({ min: 1 }),
})
export const count = whole({ min: 1, max: 1024 })

export const unitFields: Fields<UnitConfig> = {
  startTimeoutMs: whole({ min: 1 }),
  minReady: whole(),
  maxLifetimeMs: whole(),
  maxLifetimeJitterMs: whole(),
  maxMemoryMb: whole(),
  restart,
}
export const countedFields: Fields<CountedConfig> = { instances: count, ...unitFields }

/** What a part of the config is resolved by. */
export interface Context {
  /** Where relative paths start from. */
  readonly base: string
  /** Of the processes: what is set outside, and what the config adds. */
  readonly env: Environment
  /** Of units that do not say otherwise. */
  readonly restart: ResolvedRestart
  /** Takes what is wrong. */
  readonly problems: Problem[]
}

export function resolveRestart(given: RestartConfig | undefined, general: ResolvedRestart = RESTART): ResolvedRestart {
  return { ...general, ...given }
}

export function resolveUnit(given: UnitConfig, { restart: general }: Context): Resolved<UnitConfig> {
  return {
    startTimeoutMs: given.startTimeoutMs ?? 30_000,
    minReady: given.minReady ?? 1,
    maxLifetimeMs: given.maxLifetimeMs ?? 0,
    maxLifetimeJitterMs: given.maxLifetimeJitterMs ?? 0,
    maxMemoryMb: given.maxMemoryMb ?? 0,
    restart: resolveRestart(given.restart, general),
  }
}

export function resolveCounted(given: CountedConfig, context: Context): Resolved<CountedConfig> {
  return { instances: given.instances ?? 1, ...resolveUnit(given, context) }
}
