/** The web app: the unit `web`. */
import type { Problem } from '../core/errors.ts'
import { type Field, list, object, text, whole } from '../core/options.ts'
import { accessLogFormat } from './access-log.ts'
import { binds, isNetwork, normalBind } from './address.ts'
import { defaultBind, defaultWorkers } from './environment.ts'
import type { Flags } from './flags.ts'
import { type ModuleConfig, moduleFields, resolveModule } from './module.ts'
import { moduleFile, path } from './paths.ts'
import { type Context, count, type Resolved, resolveUnit, type UnitConfig, unitFields } from './unit.ts'

export interface WebConfig extends UnitConfig, ModuleConfig {
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
  /** A worker whose event loop is silent this long is killed. Milliseconds; 0 never. @default 10_000 */
  heartbeatTimeoutMs?: number
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
}

export type ResolvedWeb = Omit<Resolved<WebConfig, 'preload'>, 'bind' | 'accessLog'> & {
  readonly bind: readonly string[]
  /** A format; empty: none. */
  readonly accessLog: string
}

const network = text({ expected: 'an IP address, a network such as 10.0.0.0/8, or *', test: (value) => value === '*' || isNetwork(value) })

export const webField: Field<WebConfig> = object<WebConfig>({
  entry: path,
  ...moduleFields,
  bind: binds,
  backlog: whole({ min: 1 }),
  workers: count,
  heartbeatTimeoutMs: whole(),
  keepAliveTimeoutMs: whole({ min: 1 }),
  headersTimeoutMs: whole(),
  requestTimeoutMs: whole(),
  accessLog: accessLogFormat,
  forwardedAllowIps: list(network),
  maxRequests: whole(),
  maxRequestsJitter: whole(),
  ...unitFields,
})

export interface WebContext extends Context {
  /** They go before the config. */
  readonly flags: Pick<Flags, 'entry' | 'workers' | 'bind'>
  /** Where relative paths of flags start from. */
  readonly root: string
  /** The version of Node that will run it. */
  readonly node: string
}

export function resolveWeb(given: Partial<WebConfig>, context: WebContext): ResolvedWeb {
  const { base, env, flags, node, problems, root } = context
  const entry =
    flags.entry === undefined ? moduleFile(given.entry, base, 'web.entry', problems) : moduleFile(flags.entry, root, 'ENTRY', problems)
  const named = [flags.bind ?? given.bind ?? defaultBind(env, problems)].flat()
  const bind = named.map((one) => normalBind(one, flags.bind === undefined ? base : root) ?? one)
  if (given.kind === 'thread') checkThreads(bind, node, problems)
  return {
    entry,
    ...resolveModule(given, 'web', context),
    bind,
    backlog: given.backlog ?? 2048,
    workers: flags.workers ?? given.workers ?? defaultWorkers(env, problems),
    heartbeatTimeoutMs: given.heartbeatTimeoutMs ?? 10_000,
    keepAliveTimeoutMs: given.keepAliveTimeoutMs ?? 5_000,
    headersTimeoutMs: given.headersTimeoutMs ?? 60_000,
    requestTimeoutMs: given.requestTimeoutMs ?? 300_000,
    // What was read is a format.
    accessLog: String(given.accessLog ?? ''),
    forwardedAllowIps: given.forwardedAllowIps ?? [],
    maxRequests: given.maxRequests ?? 0,
    maxRequestsJitter: given.maxRequestsJitter ?? 0,
    ...resolveUnit(given, context),
  }
}

/** Web threads rest on moving an accepted socket to another thread, which Node does since these versions, and for TCP. */
function checkThreads(bind: readonly string[], node: string, problems: Problem[]): void {
  const [major = 0, minor = 0] = node.split('.').map(Number)
  const able = major > 26 || (major === 26 && minor >= 6) || (major === 24 && minor >= 20)
  if (!able) problems.push({ path: 'web.kind', expected: `'process', or Node 24.20 or 26.6 or newer for 'thread'`, got: `Node ${node}` })
  for (const got of bind.filter((one) => one.startsWith('unix:'))) {
    problems.push({ path: 'web.bind', expected: `host:port with web.kind 'thread', since Node moves only TCP sockets to threads`, got })
  }
}
