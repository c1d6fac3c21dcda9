/**
 * What the master and its children say to each other over Node's IPC channel. Every child is started as
 * `node worker/main.js ROLE` with `OMNIBUS_UNIT` (its label, e.g. `web.1`) in its environment, and waits for `start`.
 */
import { pathToFileURL } from 'node:url'
import type { HookGiven, ServerHook } from '../config/hooks.ts'
import type { ConfigOverrides } from '../config/flags.ts'
import type { ResolvedConfig } from '../config/types.ts'

/** `config` loads the config file and may stay as the hook host; the others are the units of the process tree. */
export type WorkerRole = 'config' | 'broker' | 'gateway' | 'consumers' | 'web' | 'forward'

/** `exec` is a command in any language, for which the master's own side speaks the protocol. */
export type Role = WorkerRole | 'exec'

export type ToChild =
  /** Config role only, first message: load this file (none: an empty config with `entry` as the web app). */
  | { readonly type: 'load'; readonly file?: string; readonly root: string; readonly overrides: ConfigOverrides }
  /**
   * Begin. A config child becomes the hook host and runs `onStarting`, and after it `whenReady` at the start of the whole,
   * or `onReload` in a reload.
   */
  | {
      readonly type: 'start'
      readonly unit: string
      readonly config: ResolvedConfig
      readonly consumer?: string
      readonly forward?: string
      /** Web and gateway: where they find the listening sockets, in the order of the config. */
      readonly listenFds?: readonly number[]
      /** Hook host only. */
      readonly cause?: StartCause
    }
  /** Hook host only, after `ready`: run this hook, and answer `hooked`. */
  | { readonly type: 'hook'; readonly id: number; readonly call: HookCall }
  /** Consumers and forward only, after `ready`: subscribe now. */
  | { readonly type: 'activate' }
  /** Stop accepting, finish what is held, settle, flush, and exit 0 before `deadlineMs` (from now) is over. `quick`: INT or QUIT. */
  | { readonly type: 'stop'; readonly reason: 'stop' | 'quick' | 'reload'; readonly deadlineMs: number }
  /** `dev` only, web only: what pages are to show in place of the app; none: the app. */
  | { readonly type: 'faults'; readonly faults: readonly UnitFault[] }

/** Why a hook host starts: with everything else, for a new config, or in place of one that is gone. */
export type StartCause = 'start' | 'reload' | 'restart'

/** Server hooks that follow what happens, as against those of the hook host's own life. */
export type CalledHook = Exclude<ServerHook, 'onStarting' | 'whenReady' | 'onReload' | 'onExit'>

export type HookCall = { [Name in CalledHook]: { readonly name: Name; readonly given: HookGiven<Name> } }[CalledHook]

export type FromChild =
  /** Answer to `load`. */
  | { readonly type: 'loaded'; readonly config: ResolvedConfig }
  /** It cannot work, and why, which it has written to its own log too; the child exits right after. `config`: the config file is at fault (exit code 78). */
  | { readonly type: 'failed'; readonly message: string; readonly config: boolean }
  /** Web and gateway: accepting. Consumers and forward: loaded and connected. Hook host: `onStarting` returned. Broker: accepting, or standing by. */
  | { readonly type: 'ready' }
  /** The hook of that id has ended, however. */
  | { readonly type: 'hooked'; readonly id: number }
  /** From the event loop, at least every second. */
  | { readonly type: 'beat'; readonly status: UnitStatus }
  /** What it has written to stdout and stderr lately, by line; `missed` lines before these are left out. */
  | { readonly type: 'output'; readonly lines: readonly string[]; readonly missed: number }
  /** `dev` only: files that were loaded, or looked for and not found; the first of them at `at`, in milliseconds since 1970. */
  | { readonly type: 'modules'; readonly files: readonly string[]; readonly at: number }
  /** `dev` only: why it ends, which it has not written to its own log; before `failed` where that follows. */
  | { readonly type: 'fault'; readonly fault: Fault }

/** What a unit tells of itself; shown by the probes. */
export interface UnitStatus {
  /**
   * Bus connection: absent where the unit has none, or before its entry is loaded. A consumer that is loaded and still
   * tries to connect says `false` in its beats before `ready`: the start goes on without it instead of killing it.
   */
  readonly connected?: boolean
  /** Consumers: every subscription is in place. */
  readonly subscribed?: boolean
  /** Requests or deliveries being handled. */
  readonly inFlight?: number
  /** Consumers: how long the oldest delivery has been at work; absent where there is none. Milliseconds. */
  readonly oldestMs?: number
  /** Consumers: since a delivery was last done with; absent where none was. Milliseconds. */
  readonly sinceProgressMs?: number
  /** Consumers: messages that wait in its queues, counted every second. */
  readonly lag?: number
  /** Consumers: messages that this process has handled, has put off for another attempt, and has given up. */
  readonly handled?: number
  readonly retried?: number
  readonly deadLettered?: number
  /** Consumers: its queues take one consumer at a time, so it may subscribe only when its predecessor has gone. */
  readonly single?: boolean
  /** Web: requests that have come so far. */
  readonly requests?: number
  /** Resident memory of the process. MiB. */
  readonly memoryMb?: number
  /** Of a host: its threads at work. */
  readonly threads?: number
}

/** An error of the user's code, for people. Paths are absolute. */
export interface Fault {
  /** Of the error's class. */
  readonly name: string
  readonly message: string
  /** From 1. */
  readonly place?: { readonly file: string; readonly line: number; readonly column?: number }
  /** What stands around the place, from the line `first` on. */
  readonly source?: { readonly first: number; readonly lines: readonly string[] }
  /** Frames in the user's own files, the innermost first. */
  readonly stack: readonly string[]
}

export interface UnitFault extends Fault {
  /** `web`, `config`, ... */
  readonly unit: string
}

/** Diagnostics channel inside a web worker under `dev`: the faults as the master sends them. */
export const FAULTS_CHANNEL = 'omnibus:faults'

export type { ConfigOverrides }

export { BUS_URL_VARIABLE, type Host, type HostedResource } from '../core/host.ts'

/**
 * The broker as clients in any language know it; several URLs are joined by `;`, as Kombu has it. Undefined where the
 * built-in broker does not listen on a port that is known.
 */
export function clientUrlOf({ bus }: ResolvedConfig): string | undefined {
  if (!bus.builtin) return bus.urls.join(';')
  const [, host, port] = HOST_AND_PORT.exec(bus.listen ?? '') ?? []
  if (host === undefined) return undefined
  // Whoever connects from the same machine is its guest.
  return `amqp://guest:guest@${ANY_HOST[host] ?? host}:${port}/`
}

/** Where a command finds the gateway; undefined where there is none, or on a unix socket. */
export function gatewayUrlOf({ gateway }: ResolvedConfig): string | undefined {
  const [, host, port] = HOST_AND_PORT.exec(gateway?.listen ?? '') ?? []
  return host === undefined ? undefined : `http://${ANY_HOST[host] ?? host}:${port}`
}

/** Not port 0, of which only the system knows what it became. */
const HOST_AND_PORT = /^(?!unix:)(.*):([1-9]\d*)$/

/** Where one that listens everywhere is found. */
const ANY_HOST: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '[::]': '[::1]' }

/**
 * The value of the bus URL variable: the configured brokers, or the built-in one's folder, escaped as in a file URL. `spawn=false`
 * says that a unit of the process tree runs it, so that nobody else starts one while it restarts. A config child is
 * started before its config is known, so the hook host sets the variable itself before `onStarting`.
 */
export function busUrlOf(config: ResolvedConfig): string {
  if (!config.bus.builtin) return config.bus.urls.join(',')
  return `${pathToFileURL(config.bus.data).href.replace(/^file:/, 'omnibus:')}?spawn=false`
}
