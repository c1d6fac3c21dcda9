/** What the state machine is told, and what it asks for. Everything in between is pure: no process, no socket, no timer. */
import type { ResolvedConfig } from '../config/types.ts'
import type { ControlReply, ControlRequest } from './control-protocol.ts'
import type { CommandSpec } from './exec/command.ts'
import type { ServiceState } from './notify.ts'
import type { FromChild, Role, ToChild } from './protocol.ts'

/** Signals the master acts on; their meanings are Gunicorn's. */
export type MasterSignal = 'SIGTERM' | 'SIGINT' | 'SIGQUIT' | 'SIGHUP' | 'SIGTTIN' | 'SIGTTOU' | 'SIGUSR1' | 'SIGUSR2' | 'SIGWINCH'

export type Event =
  /** First of all, once. */
  | { readonly type: 'begin' }
  /** Answer to `prepare`: sockets bound, pid file written, probes answering. */
  | { readonly type: 'prepared'; readonly urls: readonly string[] }
  | { readonly type: 'unprepared'; readonly message: string }
  /** Answer to `bind`, with its `loader`; nothing is bound anew where there is an `error`. */
  | { readonly type: 'bound'; readonly loader: number; readonly urls: readonly string[]; readonly error?: string }
  | { readonly type: 'spawned'; readonly child: number; readonly pid: number }
  | { readonly type: 'message'; readonly child: number; readonly message: FromChild }
  /** It is gone; `error` where it could not even be started. Follows every `spawn` exactly once. */
  | {
      readonly type: 'exit'
      readonly child: number
      readonly code: number | null
      readonly signal: string | null
      readonly error?: string
      /** The last words of Node itself. */
      readonly fatal?: string
      readonly output?: string
    }
  | { readonly type: 'signal'; readonly signal: MasterSignal }
  /** Over the control socket; answered by `reply` with the same id exactly once, unless the master ended before. */
  | { readonly type: 'request'; readonly id: number; readonly request: Exclude<ControlRequest, { verb: 'status' | 'logs' }> }
  /** `dev` only: files that some child has loaded are others now. */
  | { readonly type: 'changed'; readonly files: readonly string[] }
  /** Of the second master that `upgrade` has started. */
  | { readonly type: 'successor'; readonly is: 'started'; readonly pid: number }
  | { readonly type: 'successor'; readonly is: 'ready' }
  | { readonly type: 'successor'; readonly is: 'gone'; readonly how: string }
  /** The master that had started this one is gone. */
  | { readonly type: 'predecessorGone' }
  /** A deadline may have passed. */
  | { readonly type: 'tick' }

/** How a process ended. */
export type Exit = Omit<Extract<Event, { type: 'exit' }>, 'type' | 'child'>

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export type Command =
  /** Bind, write the pid file, start the probes, set the log level; then `prepared` or `unprepared`. */
  | { readonly type: 'prepare'; readonly config: ResolvedConfig }
  /** Bind what this config names and the one in force does not; then `bound`. */
  | { readonly type: 'bind'; readonly loader: number; readonly config: ResolvedConfig }
  /** Close the master's own hold on listening sockets, but for those this config names: no more connections come from them. */
  | { readonly type: 'unbind'; readonly except: ResolvedConfig | undefined }
  | {
      readonly type: 'spawn'
      readonly child: number
      readonly role: Role
      readonly label: string
      readonly config: ResolvedConfig | undefined
      /** Of the role `exec`. */
      readonly spec?: CommandSpec
    }
  | { readonly type: 'send'; readonly child: number; readonly message: ToChild }
  /** SIGKILL to its whole process group; `diagnose`, its label, where it is first to be said what it hangs in. */
  | { readonly type: 'kill'; readonly child: number; readonly diagnose?: string }
  /** Start a second master with the listening sockets; then `successor`. */
  | { readonly type: 'upgrade' }
  /** The pid file of the master that is gone is this one's now. */
  | { readonly type: 'inherit' }
  /** For whoever has started this master: its service manager, or the master it takes over from. */
  | { readonly type: 'notify'; readonly state: ServiceState }
  | { readonly type: 'level'; readonly level: LogLevel }
  | { readonly type: 'log'; readonly level: LogLevel; readonly message: string; readonly fields: Readonly<Record<string, unknown>> }
  | { readonly type: 'reply'; readonly to: number; readonly reply: ControlReply }
  /** Last of all, once: nothing is left running. */
  | { readonly type: 'exit'; readonly code: number }
