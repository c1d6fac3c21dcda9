import type { Clock } from '../core/clock.ts'
import type { ConfigOverrides } from '../config/flags.ts'
import type { ResolvedConfig } from '../config/types.ts'
import type { ControlReply } from './control-protocol.ts'
import { createDev, type Dev, type DevOptions } from './dev/dev.ts'
import type { Command, LogLevel } from './events.ts'
import type { OwnLimits } from './limits.ts'
import type { UnitStatus } from './protocol.ts'
import { type Crashes, NO_CRASHES } from './restart-policy.ts'
import type { Steps } from './steps.ts'
import type { Unit } from './units.ts'

export interface SupervisionOptions {
  /** The config file, absolute; absent: `overrides.entry` is the web app. */
  readonly file?: string | undefined
  readonly root: string
  readonly overrides: ConfigOverrides
  /** `work`: everything but the web part. */
  readonly withoutWeb: boolean
  /** `dev`: files that change are loaded anew, and what does not load waits for a change. */
  readonly dev?: DevOptions | undefined
  readonly clock: Clock
  /** The pid of the master that has started this one to take over from it. */
  readonly predecessor?: number | undefined
  /** Why no second master can be started here, if so. */
  readonly cannotUpgrade?: string | undefined
  /** 0 to 1; takes part of each restart's wait away. */
  readonly random: () => number
}

/** One process, as the master sees it. */
export interface Child {
  readonly id: number
  /** The child that read the config becomes the hook host, and so changes these two. */
  unit: Unit
  label: string
  /** Counts reloads: which code and config it was started with. */
  readonly generation: number
  startedAt: number
  /**
   * `forking`: there is no process yet, and `preFork` is waited for. `loaded`: the config file was read, and the host of
   * its hooks waits for its turn. `stopping`: it was asked to.
   */
  phase: 'forking' | 'loading' | 'loaded' | 'starting' | 'ready' | 'stopping'
  /** Started by a reload that is not decided yet, so that nothing may depend on it. */
  canary: boolean
  /** It may work, but its queues take one consumer at a time and its predecessor is not gone yet. */
  held: boolean
  pid: number | undefined
  deadline: { readonly at: number; readonly why: 'fork' | 'load' | 'start' | 'stop' } | undefined
  /** While it is `forking`: the hook host it waits for, and the config it is to be started with. */
  fork: { readonly host: number; readonly config: ResolvedConfig } | undefined
  lastBeatAt: number
  status: UnitStatus
  /** Since when it has been loaded and has tried to connect to its broker. */
  connectingSince: number | undefined
  /** Why it ended, where that is known before it does. */
  reason: string | undefined
  configFault: boolean
  killedAt: number | undefined
  limits: OwnLimits | undefined
  /** It has reached a limit and is to be replaced, and why. */
  spent: string | undefined
}

/** A place in the process tree: one process is wanted here. */
export interface Slot {
  unit: Unit
  readonly label: string
  current: Child | undefined
  /** Its successor in a reload or a renewal, until it is ready. */
  next: Child | undefined
  crashes: Crashes
  restarts: number
  retryAt: number | undefined
  /** After successors that did not start: those, and until when a spent process here goes on. */
  renewalCrashes: Crashes
  renewAt: number | undefined
  /** Dead for good, and why. */
  failed: string | undefined
}

/** Processes to be replaced, one after the other. */
export interface Renewal {
  readonly labels: readonly string[]
  /** By label: the process that is to go. */
  readonly targets: ReadonlyMap<string, number>
  /** The request that waits for it. */
  readonly asker: number | undefined
}

export interface Reload {
  step: 'loading' | 'binding' | 'steps' | 'hooks' | 'canaries' | 'rolling'
  readonly loader: Child
  config: ResolvedConfig | undefined
  /** What is left of `preStart`. */
  steps: Steps | undefined
  /** Where it will listen, if that changes. */
  urls: readonly string[] | undefined
  /** By unit: the one process that must become ready before anything old is touched. */
  readonly canaries: Map<string, Child>
  /** Labels still to be replaced. */
  readonly queue: string[]
  /** Of successors, once the first of each unit is in place. */
  crashes: Crashes
  retryAt: number | undefined
  /** Requests that wait for its end. */
  readonly askers: readonly number[]
}

export interface Stop {
  /** `quick` is what INT and QUIT ask for. */
  readonly mode: 'graceful' | 'quick'
  /** A graceful one that was asked for again, and so has become quick. */
  hurried: boolean
  readonly exitCode: number
  /** The last time that counted. */
  askedAt: number
  deadlineAt: number
  /** Position in the order of stopping. */
  stage: number
  stageBegun: boolean
  /** What could not finish. */
  readonly cut: string[]
}

export interface State {
  readonly options: SupervisionOptions
  readonly commands: Command[]
  phase: 'idle' | 'loading' | 'preparing' | 'starting' | 'running' | 'stopping' | 'ended'
  config: ResolvedConfig | undefined
  generation: number
  urls: readonly string[]
  units: readonly Unit[]
  readonly slots: Map<string, Slot>
  readonly children: Map<number, Child>
  nextId: number
  /** Reads the config at the start. */
  loader: Child | undefined
  /** What is left of `preStart` in the start. */
  steps: Steps | undefined
  reload: Reload | undefined
  /** HUP came while a reload or the start was under way. */
  reloadWanted: boolean
  /** Requests that wait for the end of the next reload. */
  reloadAskers: number[]
  stopAskers: number[]
  /** The first one is under way, unless a reload is. */
  readonly renewals: Renewal[]
  /** Set while the code on disk is known not to work: why the last reload was refused. */
  refusal: { readonly at: number; readonly reason: string } | undefined
  stop: Stop | undefined
  /** By unit: the number of processes that `nworkersChanged` was told last. */
  readonly toldSizes: Map<string, number>
  readonly dev: Dev | undefined
  /** Started by this master to take over from it. */
  successor: { pid: number | undefined; ready: boolean } | undefined
  /** While it lives. */
  predecessor: number | undefined
  /** No workers are wanted: the successor has the work. */
  resting: boolean
}

export function createState(options: SupervisionOptions): State {
  return {
    options,
    commands: [],
    phase: 'idle',
    config: undefined,
    generation: 0,
    urls: [],
    units: [],
    slots: new Map(),
    children: new Map(),
    nextId: 1,
    loader: undefined,
    steps: undefined,
    reload: undefined,
    reloadWanted: false,
    reloadAskers: [],
    stopAskers: [],
    renewals: [],
    refusal: undefined,
    stop: undefined,
    toldSizes: new Map(),
    dev: options.dev && createDev(options.dev),
    successor: undefined,
    predecessor: options.predecessor,
    resting: false,
  }
}

export function createSlot(unit: Unit, label: string): Slot {
  return {
    unit,
    label,
    current: undefined,
    next: undefined,
    crashes: NO_CRASHES,
    restarts: 0,
    retryAt: undefined,
    renewalCrashes: NO_CRASHES,
    renewAt: undefined,
    failed: undefined,
  }
}

export const now = (state: State): number => state.options.clock.monotonic()

export function log(state: State, level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
  // Under `dev` the comings and goings of processes are no news, only what a change has come to.
  const isNoise = state.dev !== undefined && level === 'info' && 'unit' in fields
  state.commands.push({ type: 'log', level: isNoise ? 'debug' : level, message, fields })
}

/** Answers a request, where it was one. */
export function reply(state: State, asker: number | undefined, answer: ControlReply): void {
  if (asker !== undefined) state.commands.push({ type: 'reply', to: asker, reply: answer })
}
