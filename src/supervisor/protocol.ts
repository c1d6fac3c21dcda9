/**
 * What the master and its children say to each other over Node's IPC channel. Every child is started as
 * `node worker/main.js ROLE` with `OMNIBUS_UNIT` (its label, e.g. `web.1`) in its environment, and waits for `start`.
 */
import type { ResolvedConfig } from '../config/types.ts'

/** `config` loads the config file and may stay as the hook host; the others are the units of the process tree. */
export type Role = 'config' | 'broker' | 'consumers' | 'web'

export type ToChild =
  /** Config role only, first message: load this file (none: an empty config with `entry` as the web app). */
  | { readonly type: 'load'; readonly file?: string; readonly root: string; readonly overrides: ConfigOverrides }
  /** Begin. A config child becomes the hook host and runs `onStarting`. */
  | {
      readonly type: 'start'
      readonly unit: string
      readonly config: ResolvedConfig
      readonly consumer?: string
      readonly listenFd?: number
    }
  /** Consumers only, after `ready`: subscribe now. */
  | { readonly type: 'activate' }
  /** Stop accepting, finish what is held, settle, flush, and exit 0 before `deadlineMs` (from now) is over. */
  | { readonly type: 'stop'; readonly reason: 'stop' | 'reload'; readonly deadlineMs: number }

export type FromChild =
  /** Answer to `load`. */
  | { readonly type: 'loaded'; readonly config: ResolvedConfig }
  /** It cannot work, and why; the child exits right after. `config`: the config file is at fault (exit code 78). */
  | { readonly type: 'failed'; readonly message: string; readonly config: boolean }
  /** Web: accepting. Consumers: loaded and connected. Hook host: `onStarting` returned. Broker: accepting, or standing by. */
  | { readonly type: 'ready' }
  /** From the event loop, at least every second. */
  | { readonly type: 'beat'; readonly status: UnitStatus }

/** What a unit tells of itself; shown by the probes. */
export interface UnitStatus {
  /** Bus connection: absent where the unit has none. */
  readonly connected?: boolean
  /** Consumers: every subscription is in place. */
  readonly subscribed?: boolean
  /** Requests or deliveries being handled. */
  readonly inFlight?: number
}

/** What flags and environment say over the file. */
export interface ConfigOverrides {
  readonly entry?: string
  readonly workers?: number
  readonly bind?: string
  readonly pidFile?: string
  readonly busUrl?: string
  readonly data?: string
  readonly listen?: string
}

/** The bus URL every child, and every script they start, finds in its environment. */
export const BUS_URL_VARIABLE = 'OMNIBUS_BUS_URL'
/** The well-known symbol a host sets on `globalThis` before the entry loads, so that a bus made there is flushed at stop. */
export const HOST_SYMBOL = 'omnibus.host'

/** What lies under the host symbol. */
export interface Host {
  /** The host closes what is registered when the unit stops, after the last request or delivery is done. */
  register(resource: HostedResource): void
}

export interface HostedResource {
  /** Bus connection is up. */
  readonly connected: boolean
  /** Flushes publishes and closes, by the deadline. */
  close(options: { readonly deadlineMs: number }): Promise<void>
}
