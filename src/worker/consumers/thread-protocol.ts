/** What the host process and its consumer threads say to each other; the same life as a child of the master has. */
import type { UnitStatus } from '../../supervisor/protocol.ts'
import type { LogLevel } from '../log.ts'

export interface ThreadData {
  readonly label: string
  readonly name: string
  readonly entry: string
  readonly logLevel: LogLevel
}

export type ToThread = { readonly type: 'activate' } | { readonly type: 'stop'; readonly deadlineMs: number }

export type FromThread =
  | { readonly type: 'ready' }
  /** It ends right after; `stack` holds the causes too, for the log. */
  | { readonly type: 'failed'; readonly message: string; readonly stack: string; readonly config: boolean }
  /** From the thread's event loop. */
  | { readonly type: 'beat'; readonly status: UnitStatus }
  /** Last message after `stop`. */
  | { readonly type: 'stopped'; readonly cut: readonly string[] }

/** How often a thread beats, and how often it is checked. Milliseconds. */
export const THREAD_BEAT_MS = 250
