/**
 * The hooks of a config file: Gunicorn's, in camelCase and with their meaning, and a few of our own. All of them are the
 * user's code, so none runs in the master: server hooks run in the hook host, worker hooks in the worker they are about.
 */
import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { callable, type Field, type Fields, object } from '../core/options.ts'
import type { ResolvedConfig } from './types.ts'

export interface HookContext {
  readonly config: ResolvedConfig
}

/** `unit` is `web` or a name under `consumers`, so that one hook serves them all. */
export interface UnitHookContext extends HookContext {
  readonly unit: string
}

/** A place in the process tree, such as `web.1`. */
export interface PlaceHookContext extends UnitHookContext {
  readonly label: string
}

export interface ProcessHookContext extends PlaceHookContext {
  readonly pid: number
}

export interface RequestHookContext extends ProcessHookContext {
  /** Of HTTP/2 where the app serves it. */
  readonly request: IncomingMessage | Http2ServerRequest
}

type Result = void | Promise<void>

/** Each gets one object, and may take `hookTimeoutMs`. */
export interface Hooks {
  /** Before consumers and web start; the broker is up. Also whenever the hook host is replaced. */
  onStarting?(context: HookContext): Result
  /** Addresses are bound and `onStarting` has returned; no worker is started yet. At the start only. */
  whenReady?(context: HookContext): Result
  /** A reload has read the config and `onStarting` of the new hook host has returned; no new worker is started yet. */
  onReload?(context: HookContext): Result
  /** Why a reload was refused; everything goes on as before. */
  onReloadRefused?(context: HookContext & { readonly reason: string }): Result
  /** Before a process of a consumer or of web is started, which waits for it. */
  preFork?(context: PlaceHookContext): Result
  /** A process accepts requests, or a consumer is loaded and connected. `ms` since it was started. */
  onWorkerReady?(context: ProcessHookContext & { readonly ms: number }): Result
  /** A process was silent for too long and is being killed. */
  onHang?(context: ProcessHookContext & { readonly silentMs: number }): Result
  /** A process of a consumer or of web is gone. `reason` is how, in words. */
  childExit?(
    context: ProcessHookContext & { readonly code: number | null; readonly signal: string | null; readonly reason: string },
  ): Result
  /** The number of processes, or threads, wanted of a unit. `before` is absent at the start. */
  nworkersChanged?(context: UnitHookContext & { readonly size: number; readonly before?: number }): Result
  /** A place was given up, and everything goes on without it (`onPermanentFailure: 'degrade'`). */
  onDegraded?(context: PlaceHookContext & { readonly reason: string }): Result
  /** A second master is being started (USR2); it is not waited for. */
  preExec?(context: HookContext): Result
  /** After everything else but the broker has stopped; on a reload in the old host, after the new one's `onStarting`. */
  onExit?(context: HookContext & { readonly reason: 'stop' | 'reload' }): Result

  /** In a new process, before it loads the entry. */
  postFork?(context: ProcessHookContext): Result
  /** The entry is loaded; nothing is accepted or subscribed yet. */
  postWorkerInit?(context: ProcessHookContext): Result
  /** Before the app gets a request. It cannot be waited for: what it does asynchronously runs beside the app. */
  preRequest?(context: RequestHookContext): Result
  /** The answer is over. `completed` is false where the client went away before it had all of it. */
  postRequest?(context: RequestHookContext & { readonly status: number; readonly durationMs: number; readonly completed: boolean }): Result
  /** The process is asked to stop quickly: INT or QUIT to the master. */
  workerInt?(context: ProcessHookContext): Result
  /** ABRT to the process, which then ends with 70. One that hangs can run no hook: see `onHang`. */
  workerAbort?(context: ProcessHookContext): Result
  /** Last of all in a process that ends by itself or was asked to; not in one that is killed. */
  workerExit?(context: ProcessHookContext & { readonly code: number }): Result
}

export type HookName = keyof Hooks
/** What a hook is given, without the config, which is the same for all. */
export type HookGiven<Name extends HookName> = Omit<Parameters<NonNullable<Hooks[Name]>>[0], 'config'>

interface HookRules {
  readonly runsIn: 'host' | 'worker'
  /** Part of a start, which fails when the hook throws or overruns. The failure of any other is logged, and all goes on. */
  readonly decides: boolean
}

export const HOOKS = {
  onStarting: { runsIn: 'host', decides: true },
  whenReady: { runsIn: 'host', decides: true },
  onReload: { runsIn: 'host', decides: true },
  onReloadRefused: { runsIn: 'host', decides: false },
  preFork: { runsIn: 'host', decides: false },
  onWorkerReady: { runsIn: 'host', decides: false },
  onHang: { runsIn: 'host', decides: false },
  childExit: { runsIn: 'host', decides: false },
  nworkersChanged: { runsIn: 'host', decides: false },
  onDegraded: { runsIn: 'host', decides: false },
  preExec: { runsIn: 'host', decides: false },
  onExit: { runsIn: 'host', decides: false },
  postFork: { runsIn: 'worker', decides: true },
  postWorkerInit: { runsIn: 'worker', decides: true },
  preRequest: { runsIn: 'worker', decides: false },
  postRequest: { runsIn: 'worker', decides: false },
  workerInt: { runsIn: 'worker', decides: false },
  workerAbort: { runsIn: 'worker', decides: false },
  workerExit: { runsIn: 'worker', decides: false },
} as const satisfies Record<HookName, HookRules>

export const hooksField: Field<Hooks> = object<Hooks>(
  Object.fromEntries(Object.keys(HOOKS).map((name) => [name, callable()])) as Fields<Hooks>,
)

type RunningIn<Where> = { [Name in HookName]: (typeof HOOKS)[Name]['runsIn'] extends Where ? Name : never }[HookName]
export type ServerHook = RunningIn<'host'>
export type WorkerHook = RunningIn<'worker'>

export const SERVER_HOOKS = namesIn('host') as readonly ServerHook[]
export const WORKER_HOOKS = namesIn('worker') as readonly WorkerHook[]

function namesIn(place: HookRules['runsIn']): HookName[] {
  return (Object.keys(HOOKS) as HookName[]).filter((name) => HOOKS[name].runsIn === place)
}
