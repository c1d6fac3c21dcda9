/** The config file as a user writes it (`OmnibusConfig`) and as plain resolved data (`ResolvedConfig`). */
import type { Queue } from '../core/entities.ts'
import type { Hooks, ServerHook, WorkerHook } from './hooks.ts'

export interface OmnibusConfig {
  bus?: BusConfig
  web?: WebConfig
  /** Consumer units by name. */
  consumers?: Record<string, ConsumerConfig>
  /** Commands in any language as units, by name. */
  exec?: Record<string, ExecConfig>
  /** Queues whose messages are sent on by HTTP, by name. */
  forward?: Record<string, ForwardConfig>
  /** Takes messages by HTTP and publishes them. */
  gateway?: GatewayConfig
  /** Commands that run to their end one after the other, when the broker is up and before anything else starts. */
  preStart?: PreStartConfig[]
  hooks?: Hooks
  /** The budget of a whole graceful stop. Milliseconds. @default 25_000 */
  gracefulTimeoutMs?: number
  /** Longest a hook may take. Milliseconds. @default 30_000 */
  hookTimeoutMs?: number
  /** Restart policy of every unit that does not say otherwise. */
  restart?: RestartConfig
  /** What a unit that is dead for good does to the whole. @default 'exit' (code 69) */
  onPermanentFailure?: 'exit' | 'degrade'
  /** Where the master writes its pid. @default none */
  pidFile?: string
  /**
   * Whose the processes are that the master starts, but for the hook host; a name or a number. The master has to be root's and stays it.
   * @default the master's
   */
  user?: string | number
  /** @default the user's primary group */
  group?: string | number
  /** Of all processes, in octal digits such as '027'. @default the master's */
  umask?: string | number
  /** Working directory of all processes but the master, relative to the config file. @default the master's */
  chdir?: string
  /** Added to the environment of all processes but the master; before what is set outside. */
  env?: Record<string, string>
  /** The same from a file of `NAME=value` lines, read anew in each reload; after what is set outside. */
  envFile?: string
  /** `host:port` or `unix:/path` of /livez, /startupz, /readyz and /status. @default none */
  probes?: string
  /** Metrics of the web part over UDP, with the package `hot-shots`. @default none */
  statsd?: StatsdConfig
  log?: { level?: 'debug' | 'info' | 'warn' | 'error' }
}

export interface StatsdConfig {
  /** `host` or `host:port`. @default '127.0.0.1:8125' */
  host?: string
  /** Of the names: `PREFIX.requests`. @default 'gunicorn', so that what shows Gunicorn's metrics shows these */
  prefix?: string
  /** Added to each metric, in the way of DogStatsD. @default none, which every statsd understands */
  tags?: Readonly<Record<string, string>>
}

export interface BusConfig {
  /** One broker or several to try in turn. @default the built-in broker in `data` */
  url?: string | string[] | undefined
  /** The built-in broker's folder, relative to the config file. @default '.omnibus' */
  data?: string
  /** `host:port` where the built-in broker also speaks AMQP over TCP. @default none */
  listen?: string
}

export interface WebConfig {
  /** Module that exports the app, or a script that listens itself; relative to the config file. */
  entry: string
  /**
   * `host:port`, `:port`, `unix:/path` or `fd://N` (a socket that whoever starts the master hands it as descriptor N); or several.
   * @default `127.0.0.1:8000`, or `0.0.0.0:$PORT` where PORT is set
   */
  bind?: string | string[]
  /** Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`. @default 2048 */
  backlog?: number
  /** @default $WEB_CONCURRENCY or 1 */
  workers?: number
  /** 'thread' puts the workers as threads in one host process; TCP only, Node 24.20 or 26.6. @default 'process' */
  kind?: 'process' | 'thread'
  /** V8's heap of each thread; one that needs more ends and is replaced. MiB; 0: three quarters of the memory, shared. @default 0 */
  threadHeapMb?: number
  /** Module that runs once in each process before its workers, which get what it makes by `preloaded()`. @default none */
  preload?: string
  /** A worker whose event loop is silent this long is killed. Milliseconds; 0 never. @default 10_000 */
  heartbeatTimeoutMs?: number
  /** A worker must listen by then. Milliseconds. @default 30_000 */
  startTimeoutMs?: number
  /** How long a connection may be idle between two requests. Milliseconds. @default 5_000 */
  keepAliveTimeoutMs?: number
  /** How long a request's head may take, from its first byte, and how long the whole request. Milliseconds; 0 for ever. @default 60_000 */
  headersTimeoutMs?: number
  /** @default 300_000 */
  requestTimeoutMs?: number
  /** One line per request: true or '-' for Gunicorn's default format, or a format of its atoms. @default false */
  accessLog?: boolean | string
  /** Proxies whose X-Forwarded-For the access log believes for its `%(h)s`: addresses, networks (`10.0.0.0/8`) or `*`. @default [] */
  forwardedAllowIps?: readonly string[]
  /** A worker that has had this many requests is replaced, the new one first. 0 never. @default 0 */
  maxRequests?: number
  /** Up to this many are added, at random for each worker, so that they do not go at the same time. @default 0 */
  maxRequestsJitter?: number
  /** So many of its processes must be ready for the whole to be; all of them where it is larger. 0 to do without. @default 1 */
  minReady?: number
  /** A process this old is replaced, the new one first. Milliseconds; 0 never. @default 0 */
  maxLifetimeMs?: number
  /** Up to this much is added, at random for each process. Milliseconds. @default 0 */
  maxLifetimeJitterMs?: number
  /** A process whose resident memory is larger is replaced. MiB; 0 never. @default 0 */
  maxMemoryMb?: number
  restart?: RestartConfig
}

export interface ConsumerConfig {
  /** Module that exports what `consume()` or `broadcast()` returned; relative to the config file. */
  entry: string
  /** @default 1 */
  instances?: number
  /** 'thread' puts the instances as threads in one host process. @default 'process' */
  kind?: 'process' | 'thread'
  /** V8's heap of each thread; one that needs more ends and is replaced. MiB; 0: three quarters of the memory, shared. @default 0 */
  threadHeapMb?: number
  /** Module that runs once in each process before its workers, which get what it makes by `preloaded()`. @default none */
  preload?: string
  /** Milliseconds; 0 never. @default 30_000 */
  heartbeatTimeoutMs?: number
  /** It must be loaded and connected by then. Milliseconds. @default 30_000 */
  startTimeoutMs?: number
  /** So many of its processes must be ready for the whole to be; all of them where it is larger. 0 to do without. @default 1 */
  minReady?: number
  /** A process this old is replaced, the new one first. Milliseconds; 0 never. @default 0 */
  maxLifetimeMs?: number
  /** Up to this much is added, at random for each process. Milliseconds. @default 0 */
  maxLifetimeJitterMs?: number
  /** A process whose resident memory is larger is replaced. MiB; 0 never. @default 0 */
  maxMemoryMb?: number
  restart?: RestartConfig
}

export interface Command {
  /** A program and its arguments. No shell reads them. */
  command: readonly string[]
  /** Relative to the config file. @default its folder */
  cwd?: string
  /** Added to the environment of the master. */
  env?: Record<string, string>
}

/**
 * When a command counts as ready: it runs still half a second after its start; it accepts connections at `host:port` or
 * at a port of this machine; it answers a GET with 200 to 399; it has written a line that contains this text.
 */
export type ReadyWhen = 'started' | { readonly port: number | string } | { readonly url: string } | { readonly line: string }

export interface ExecConfig extends Command {
  /** @default 1 */
  instances?: number
  /** @default 'started' */
  ready?: ReadyWhen
  /** It must be ready by then. Milliseconds. @default 30_000 */
  startTimeoutMs?: number
  /** Sent to the process itself; what is left of its group afterwards is killed. @default 'SIGTERM' */
  stopSignal?: 'SIGTERM' | 'SIGINT' | 'SIGQUIT' | 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2'
  /** Longest a stop may take within the budget of the whole. Milliseconds. @default what the budget leaves it */
  gracefulTimeoutMs?: number
  /**
   * Whether the successor is ready before the old one stops, in a reload and elsewhere, or starts when it is gone.
   * @default 'old-first' where `ready` is a port or a URL, else 'new-first'
   */
  replace?: 'new-first' | 'old-first'
  /** So many of its processes must be ready for the whole to be; all of them where it is larger. 0 to do without. @default 1 */
  minReady?: number
  /** A process this old is replaced. Milliseconds; 0 never. @default 0 */
  maxLifetimeMs?: number
  /** Up to this much is added, at random for each process. Milliseconds. @default 0 */
  maxLifetimeJitterMs?: number
  /** A process whose resident memory is larger is replaced. MiB; 0 never. @default 0 */
  maxMemoryMb?: number
  restart?: RestartConfig
}

export interface ForwardConfig {
  /** A name, for a durable queue without bindings, or what `queue()` returned: declared as it is. */
  queue: string | Queue
  /** `http://` or `https://`. Redirects are not followed. */
  to: string
  /** Requests under way, in each process. @default 10 */
  concurrency?: number
  /** One message at a time, and the next when it is done with; the queue is one with a single active consumer. @default false */
  ordered?: boolean
  /** An answer must be complete by then. Milliseconds. @default 30_000 */
  timeoutMs?: number
  retry?: ForwardRetry
  /** Nothing is fetched before a GET of this URL is answered with 200 to 399, and the target accepts a connection. @default the latter alone */
  ready?: string
  /** Sent along as `Authorization: Bearer`. @default none */
  token?: string
  /** Signs each request as Standard Webhooks has it: `whsec_` and base64. @default none */
  secret?: string
  /** A file of certificates in PEM, one of which vouches for the target. @default those of well-known authorities */
  ca?: string
  /** A host name in `to` or `ready` may lead to this machine or a private network. @default false */
  allowPrivate?: boolean
  /** @default 1 */
  instances?: number
  /** Milliseconds; 0 never. @default 30_000 */
  heartbeatTimeoutMs?: number
  /** It must be connected by then. Milliseconds. @default 30_000 */
  startTimeoutMs?: number
  /** So many of its processes must be ready for the whole to be; all of them where it is larger. 0 to do without. @default 1 */
  minReady?: number
  /** A process this old is replaced, the new one first. Milliseconds; 0 never. @default 0 */
  maxLifetimeMs?: number
  /** Up to this much is added, at random for each process. Milliseconds. @default 0 */
  maxLifetimeJitterMs?: number
  /** A process whose resident memory is larger is replaced. MiB; 0 never. @default 0 */
  maxMemoryMb?: number
  restart?: RestartConfig
}

export interface ForwardRetry {
  /** The first time included. @default 10 */
  attempts?: number
  /** @default 1_000 */
  minMs?: number
  /** @default 300_000 */
  maxMs?: number
}

export interface GatewayConfig {
  /** `host:port` or `unix:/path`. */
  listen: string
  /** Wanted from clients as `Authorization: Bearer`; without, `listen` has to be of this machine. @default none */
  token?: string
  /** Larger ones are answered with 413. @default 1 MiB */
  maxBodyBytes?: number
  /** Requests under way; beyond, 503. @default 1_000 */
  maxConcurrent?: number
  restart?: RestartConfig
}

export interface PreStartConfig extends Command {
  /** Also in a reload, which is refused where it fails. @default false */
  onReload?: boolean
  /** Longest it may take. Milliseconds; 0 for ever. @default 0 */
  timeoutMs?: number
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

export type ResolvedCommand = Readonly<Required<Command>>

export interface ResolvedExec extends Readonly<Required<Omit<ExecConfig, 'restart' | 'gracefulTimeoutMs'>>> {
  readonly gracefulTimeoutMs?: number
  readonly restart: ResolvedRestart
}

export interface ResolvedForward extends Readonly<
  Required<Omit<ForwardConfig, 'queue' | 'retry' | 'ready' | 'token' | 'secret' | 'ca' | 'restart'>>
> {
  readonly queue: Queue
  readonly retry: Required<ForwardRetry>
  readonly ready?: string
  readonly token?: string
  readonly secret?: string
  readonly ca?: string
  readonly restart: ResolvedRestart
}

export interface ResolvedGateway extends Readonly<Required<Omit<GatewayConfig, 'token' | 'restart'>>> {
  readonly token?: string
  readonly restart: ResolvedRestart
}

/** Every default filled in; where there is none, it may still be absent. */
type Resolved<T extends WebConfig | ConsumerConfig> = Required<Omit<T, 'restart' | 'preload'>> & {
  readonly restart: ResolvedRestart
  readonly preload?: string
}

export interface ResolvedProcesses {
  readonly uid?: number
  readonly gid?: number
  readonly umask?: number
  readonly chdir?: string
  readonly env: Readonly<Record<string, string>>
}

export interface ResolvedConfig {
  /** The config file, absolute; absent when everything came from flags. */
  readonly file?: string
  /** The folder relative paths start from. */
  readonly root: string
  readonly bus: { readonly urls: readonly string[]; readonly builtin: boolean; readonly data: string; readonly listen?: string }
  readonly web?: Omit<Resolved<WebConfig>, 'bind' | 'accessLog'> & {
    readonly bind: readonly string[]
    /** A format; empty: none. */
    readonly accessLog: string
  }
  readonly consumers: Readonly<Record<string, Resolved<ConsumerConfig>>>
  readonly exec: Readonly<Record<string, ResolvedExec>>
  readonly forward: Readonly<Record<string, ResolvedForward>>
  readonly gateway?: ResolvedGateway
  readonly preStart: readonly (ResolvedCommand & Required<Pick<PreStartConfig, 'onReload' | 'timeoutMs'>>)[]
  /** Names of the server hooks the file has. */
  readonly hooks: readonly ServerHook[]
  /** Names of the worker hooks it has, for which each worker loads the file too. */
  readonly workerHooks: readonly WorkerHook[]
  readonly gracefulTimeoutMs: number
  readonly hookTimeoutMs: number
  readonly onPermanentFailure: 'exit' | 'degrade'
  readonly restart: ResolvedRestart
  readonly pidFile?: string
  readonly processes: ResolvedProcesses
  readonly probes?: string
  /** `host` is `host:port`. */
  readonly statsd?: Readonly<Required<StatsdConfig>>
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
}

/** What flags say over the file. */
export interface ConfigOverrides {
  /** In place of a file: what it would export. */
  readonly config?: OmnibusConfig
  readonly entry?: string
  readonly workers?: number
  readonly bind?: string | readonly string[]
  readonly pidFile?: string
  readonly envFile?: string
  readonly busUrl?: string
  readonly data?: string
  readonly listen?: string
}
