/** The config file as a user writes it (`OmnibusConfig`) and as plain resolved data (`ResolvedConfig`); each part has a file of its own. */
import type { BusConfig, ResolvedBus } from './bus.ts'
import type { ConsumerConfig, ResolvedConsumer } from './consumers.ts'
import type { ExecConfig, ResolvedExec } from './exec.ts'
import type { ForwardConfig, ResolvedForward } from './forward.ts'
import type { GatewayConfig, ResolvedGateway } from './gateway.ts'
import type { Hooks, ServerHook, WorkerHook } from './hooks.ts'
import type { PreStartConfig, ResolvedStep } from './pre-start.ts'
import type { ProcessesConfig, ResolvedProcesses } from './processes.ts'
import type { ResolvedStatsd, StatsdConfig } from './statsd.ts'
import type { ResolvedRestart, RestartConfig } from './unit.ts'
import type { ResolvedWeb, WebConfig } from './web.ts'

export interface OmnibusConfig extends ProcessesConfig {
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
  /** `host:port` or `unix:/path` of /livez, /startupz, /readyz and /status. @default none */
  probes?: string
  /** Metrics of the web part over UDP, with the package `hot-shots`. @default none */
  statsd?: StatsdConfig
  log?: { level?: 'debug' | 'info' | 'warn' | 'error' }
}

export interface ResolvedConfig {
  /** The config file, absolute; absent when everything came from flags. */
  readonly file?: string
  /** The folder relative paths start from. */
  readonly root: string
  readonly bus: ResolvedBus
  readonly web?: ResolvedWeb
  readonly consumers: Readonly<Record<string, ResolvedConsumer>>
  readonly exec: Readonly<Record<string, ResolvedExec>>
  readonly forward: Readonly<Record<string, ResolvedForward>>
  readonly gateway?: ResolvedGateway
  readonly preStart: readonly ResolvedStep[]
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
  readonly statsd?: ResolvedStatsd
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
}
