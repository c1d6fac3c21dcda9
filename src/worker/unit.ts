/** What every role is to the child that hosts it. */
import type { Socket } from 'node:net'
import type { ResolvedConfig } from '../config/types.ts'
import type { Preloaded } from '../core/host.ts'
import type { HookCall, ToChild, UnitStatus } from '../supervisor/protocol.ts'
import type { Channel } from './channel.ts'
import type { Deadline } from './deadline.ts'
import type { Log } from './log.ts'
import type { WorkerHooks } from './worker-hooks.ts'

export type StartMessage = Extract<ToChild, { type: 'start' }>
export type LoadMessage = Extract<ToChild, { type: 'load' }>
export type StopReason = Extract<ToChild, { type: 'stop' }>['reason']

export interface UnitContext {
  readonly log: Log
  readonly channel: Pick<Channel, 'ref' | 'unref'>
  /** Aborts when the unit is asked to stop before it has started. */
  readonly signal: AbortSignal
  /** Ends the child: it logs, tells the master, and exits. For what goes wrong after the start. */
  readonly fail: (error: unknown) => void
  /** What beats tell before the unit is there, for a start that takes long. */
  readonly report: (status: () => UnitStatus) => void
  /** Those of the config file that only the host knows the moment of. */
  readonly hooks: WorkerHooks
  /** For the entry, where the host has it already. */
  readonly preloaded?: Preloaded | undefined
}

export interface Unit {
  readonly status: () => UnitStatus
  /** Consumers only. */
  activate?(): Promise<void>
  /** Hook host only: runs a server hook. Resolves when it has ended, however. */
  hook?(call: HookCall): Promise<void>
  /** Web threads only: serves a connection that the host has accepted. */
  accept?(socket: Socket): void
  /** Resolves by the deadline with what had to be cut off, for the log; empty when all was finished. */
  stop(reason: StopReason, deadline: Deadline): Promise<readonly string[]>
}

export interface RoleHost {
  /** The config role only. */
  load?(message: LoadMessage): Promise<ResolvedConfig>
  /**
   * Resolves when the unit is ready, as the protocol says for its role. When the signal aborts it rejects, or resolves
   * with a unit that is then stopped.
   */
  start(message: StartMessage, context: UnitContext): Promise<Unit>
  /** Last of all before the process exits with `code`; resolves within `withinMs`, and never rejects. */
  beforeExit?(code: number, withinMs?: number): Promise<void>
}
