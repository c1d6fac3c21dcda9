/** What a host process and its threads say to each other; the same life as a child of the master has. */
import type { AddressInfo, Socket } from 'node:net'
import type { Preloaded } from '../../core/host.ts'
import type { UnitStatus } from '../../supervisor/protocol.ts'
import type { StartMessage, StopReason } from '../unit.ts'

export type ThreadRole = 'consumers' | 'web'

export interface ThreadData {
  readonly role: ThreadRole
  readonly label: string
  /** What the master told the host. */
  readonly message: StartMessage
  readonly preloaded: Preloaded | undefined
  /** Web only: where the host accepts, which is what the app is told when it listens. */
  readonly address: AddressInfo | undefined
  readonly tally: Int32Array
}

export type ToThread =
  /** Consumers only. */
  | { readonly type: 'activate' }
  /** Web only: a connection the host has accepted, moved along with the message. None comes after `stop`. */
  | { readonly type: 'connection'; readonly socket: Socket }
  | { readonly type: 'stop'; readonly reason: StopReason; readonly deadlineMs: number }

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

/** Cells of a thread's tally, which it adds to and its host reads, without a message for each connection. */
export const TALLY = Object.freeze({ arrived: 0, closed: 1 })

export const newTally = (): Int32Array => new Int32Array(new SharedArrayBuffer(Object.keys(TALLY).length * Int32Array.BYTES_PER_ELEMENT))
