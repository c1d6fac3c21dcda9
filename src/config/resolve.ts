/** From what the config file exports to plain data: checked, every default filled in, every path absolute. */
import { channel } from 'node:diagnostics_channel'
import { statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { ConfigError, type Problem } from '../core/errors.ts'
import { WATCH_CHANNEL } from '../core/host.ts'
import { callable, type Field, type Fields, list, object, oneOf, record, show, text, whole } from '../core/options.ts'
import { redactUrl } from '../core/redact.ts'
import { accessLogFormat } from './access-log.ts'
import { ADDRESS_EXPECTED, binds, isNetwork, normalAddress, normalBind } from './address.ts'
import { defaultBind, defaultWorkers, type Environment } from './environment.ts'
import { execFields, resolveExec, resolveStep } from './exec.ts'
import { forwardFields, resolveForward, resolveGateway } from './forward.ts'
import { HOOKS, type Hooks, SERVER_HOOKS, WORKER_HOOKS } from './hooks.ts'
import { processFields, resolveProcesses } from './processes.ts'
import { resolveStatsd, statsdField } from './statsd.ts'
import type {
  BusConfig,
  ConfigOverrides,
  ConsumerConfig,
  OmnibusConfig,
  ResolvedConfig,
  ResolvedRestart,
  RestartConfig,
  WebConfig,
} from './types.ts'

export interface ResolveContext {
  /** The config file, absolute; absent when everything comes from flags. */
  readonly file?: string | undefined
  /** Where relative paths in flags start from, and those of the config where there is no file. */
  readonly root: string
  readonly overrides?: ConfigOverrides
  /** @default nothing set */
  readonly env?: Environment
  /** The version of Node that will run it. @default this one */
  readonly node?: string
}

const RESTART: ResolvedRestart = { minMs: 100, maxMs: 30_000, maxCrashes: 5, windowMs: 60_000 }
/** Labels of the master's own units: a consumer of that name could not be told apart in logs and status. */
const RESERVED = ['web', 'hooks', 'broker', 'config', 'gateway', 'preStart']

const path = text({ expected: 'a path', test: (value) => value !== '' })
const address = text({ expected: ADDRESS_EXPECTED, test: (value) => normalAddress(value, '/') !== undefined })
const network = text({ expected: 'an IP address, a network such as 10.0.0.0/8, or *', test: (value) => value === '*' || isNetwork(value) })
const restart = object<RestartConfig>({
  minMs: whole({ min: 1 }),
  maxMs: whole({ min: 1 }),
  maxCrashes: whole({ min: 1 }),
  windowMs: whole({ min: 1 }),
})
const limits = { minReady: whole(), maxLifetimeMs: whole(), maxLifetimeJitterMs: whole(), maxMemoryMb: whole() }
const threads = { kind: oneOf(['process', 'thread']), threadHeapMb: whole(), preload: path }
const unit = { entry: path, ...threads, heartbeatTimeoutMs: whole(), startTimeoutMs: whole({ min: 1 }), ...limits, restart }
const count = whole({ min: 1, max: 1024 })

/** An empty text counts as absent, since `url: process.env.BUS_URL` is how it is written. What is shown has no password. */
const busUrl: Field<string | string[]> = {
  read(value, at, problems) {
    const urls: unknown[] = (Array.isArray(value) ? value : [value]).filter((item) => item !== '')
    const wrong = urls.filter((item) => typeof item !== 'string' || !/^[a-z][a-z0-9+.-]*:\/\/\S/i.test(item))
    const expected = 'a URL such as amqp://user:password@host:5672/vhost, or a list of them'
    for (const item of wrong) problems.push({ path: at, expected, got: typeof item === 'string' ? redactUrl(item) : show(item) })
    return urls.filter((item) => typeof item === 'string')
  },
}

const FIELDS: Fields<OmnibusConfig> = {
  bus: object<BusConfig>({ url: busUrl, data: path, listen: address }),
  web: object<WebConfig>({
    ...unit,
    bind: binds,
    backlog: whole({ min: 1 }),
    workers: count,
    maxRequests: whole(),
    maxRequestsJitter: whole(),
    keepAliveTimeoutMs: whole({ min: 1 }),
    headersTimeoutMs: whole(),
    requestTimeoutMs: whole(),
    accessLog: accessLogFormat,
    forwardedAllowIps: list(network),
  }),
  consumers: record(object<ConsumerConfig>({ ...unit, instances: count })),
  ...execFields({ instances: count, ...limits, restart }),
  ...forwardFields({ instances: count, ...limits, restart }),
  hooks: object<Hooks>(Object.fromEntries(Object.keys(HOOKS).map((name) => [name, callable()])) as Fields<Hooks>),
  gracefulTimeoutMs: whole({ min: 1 }),
  hookTimeoutMs: whole({ min: 1 }),
  restart,
  onPermanentFailure: oneOf(['exit', 'degrade']),
  pidFile: path,
  ...processFields,
  probes: address,
  statsd: statsdField,
  log: object({ level: oneOf(['debug', 'info', 'warn', 'error']) }),
}

const FLAGS: Fields<Omit<ConfigOverrides, 'config'>> = {
  entry: path,
  workers: count,
  bind: binds,
  pidFile: path,
  envFile: path,
  busUrl: busUrl as Field<string>,
  data: path,
  listen: address,
}
/** How each override is named where people write it. */
const FLAG_NAMES: Record<keyof typeof FLAGS, string> = {
  entry: 'ENTRY',
  workers: '--workers',
  bind: '--bind',
  pidFile: '--pid',
  envFile: '--env-file',
  busUrl: '--bus-url',
  data: '--data',
  listen: '--listen',
}

/** Throws `ConfigError` with every problem found. */
export function resolveConfig(input: unknown, context: ResolveContext): ResolvedConfig {
  const { file, root, env: outside = {}, node = process.versions.node } = context
  const problems: Problem[] = []
  const config = readConfig(input, problems)
  const flags = readFlags(context.overrides ?? {}, problems)
  const base = file === undefined ? root : dirname(file)
  const own = { ...RESTART, ...config.restart }
  const envFile = flags.envFile === undefined ? undefined : resolve(root, flags.envFile)
  const processes = resolveProcesses(config, { base, envFile, env: outside, problems })
  const env = { ...outside, ...processes.env }

  const web = resolveWeb({ config, flags, base, root, own, env, node, problems })
  const consumers = Object.entries(config.consumers ?? {}).map(([name, consumer]) => {
    checkName(name, 'consumers', problems)
    return [name, resolveConsumer(consumer, `consumers.${name}`, { base, own, problems })] as const
  })
  const exec = Object.entries(config.exec ?? {}).map(([name, given]) => {
    const at = `exec.${name}`
    checkName(name, 'exec', problems)
    if (config.consumers?.[name]) problems.push({ path: at, expected: 'a name that no consumer has', got: show(name) })
    const { instances = 1, restart: policy } = given
    const resolved = resolveExec(given, at, { base, env, problems })
    return [name, { ...resolved, instances, ...limitsOf(given), restart: { ...own, ...policy } }] as const
  })
  const forward = Object.entries(config.forward ?? {}).map(([name, given]) => {
    const at = `forward.${name}`
    checkName(name, 'forward', problems)
    if (config.consumers?.[name] ?? config.exec?.[name])
      problems.push({ path: at, expected: 'a name that no consumer and no command has', got: show(name) })
    const { instances = 1, restart: policy } = given
    return [name, { ...resolveForward(given, at, base, problems), instances, ...limitsOf(given), restart: { ...own, ...policy } }] as const
  })
  const gateway = config.gateway && { ...resolveGateway(config.gateway, base, problems), restart: { ...own, ...config.gateway.restart } }
  const preStart = (config.preStart ?? []).map((step, index) => resolveStep(step, `preStart[${index}]`, { base, env, problems }))
  const url = flags.busUrl ?? config.bus?.url ?? []
  const urls = typeof url === 'string' ? [url] : url
  const listen = flags.listen ?? config.bus?.listen
  const pidFile = flags.pidFile === undefined ? config.pidFile && resolve(base, config.pidFile) : resolve(root, flags.pidFile)
  if (problems.length > 0) throw new ConfigError(file ?? 'The configuration', problems)

  return {
    ...(file !== undefined && { file }),
    root: base,
    bus: {
      urls,
      builtin: urls.length === 0,
      data: flags.data === undefined ? resolve(base, config.bus?.data ?? '.omnibus') : resolve(root, flags.data),
      ...(listen !== undefined && { listen: inFull(listen, base) }),
    },
    ...(web && { web }),
    consumers: Object.fromEntries(consumers),
    exec: Object.fromEntries(exec),
    forward: Object.fromEntries(forward),
    ...(gateway && { gateway }),
    preStart,
    hooks: SERVER_HOOKS.filter((name) => config.hooks?.[name] !== undefined),
    workerHooks: WORKER_HOOKS.filter((name) => config.hooks?.[name] !== undefined),
    gracefulTimeoutMs: config.gracefulTimeoutMs ?? 25_000,
    hookTimeoutMs: config.hookTimeoutMs ?? 30_000,
    onPermanentFailure: config.onPermanentFailure ?? 'exit',
    restart: own,
    ...(pidFile !== undefined && { pidFile }),
    processes,
    ...(config.probes !== undefined && { probes: inFull(config.probes, base) }),
    ...(config.statsd && { statsd: resolveStatsd(config.statsd) }),
    logLevel: config.log?.level ?? 'info',
  }
}

function readConfig(input: unknown, problems: Problem[]): OmnibusConfig {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    problems.push({ path: 'default export', expected: 'a config, best made with defineConfig({ ... })', got: show(input) })
    return {}
  }
  return object(FIELDS).read(input, '', problems) ?? {}
}

function readFlags({ config: _config, ...overrides }: ConfigOverrides, problems: Problem[]): Omit<ConfigOverrides, 'config'> {
  const found: Problem[] = []
  const flags = object(FLAGS).read(overrides, '', found) ?? {}
  problems.push(...found.map((problem) => ({ ...problem, path: FLAG_NAMES[problem.path as keyof typeof FLAGS] ?? problem.path })))
  return flags
}

interface WebContext {
  readonly config: OmnibusConfig
  readonly flags: ConfigOverrides
  readonly base: string
  readonly root: string
  readonly own: ResolvedRestart
  readonly env: Environment
  readonly node: string
  readonly problems: Problem[]
}

function resolveWeb({ config, flags, base, root, own, env, node, problems }: WebContext): ResolvedConfig['web'] {
  const given: Partial<WebConfig> | undefined = config.web ?? (flags.entry === undefined ? undefined : {})
  if (given === undefined) {
    for (const flag of ['workers', 'bind'] as const) {
      if (flags[flag] !== undefined) problems.push({ path: FLAG_NAMES[flag], expected: 'a config with a `web` part', got: 'one without' })
    }
    return undefined
  }
  const entry =
    flags.entry === undefined ? entryFile(given.entry, base, 'web.entry', problems) : entryFile(flags.entry, root, 'ENTRY', problems)
  const named = [flags.bind ?? given.bind ?? defaultBind(env, problems)].flat()
  const bind = named.map((one) => normalBind(one, flags.bind === undefined ? base : root) ?? one)
  if (given.kind === 'thread') checkThreads(bind, node, problems)
  return {
    entry,
    bind,
    backlog: given.backlog ?? 2048,
    workers: flags.workers ?? given.workers ?? defaultWorkers(env, problems),
    ...threadsOf(given, 'web', { base, problems }),
    heartbeatTimeoutMs: given.heartbeatTimeoutMs ?? 10_000,
    startTimeoutMs: given.startTimeoutMs ?? 30_000,
    keepAliveTimeoutMs: given.keepAliveTimeoutMs ?? 5_000,
    headersTimeoutMs: given.headersTimeoutMs ?? 60_000,
    requestTimeoutMs: given.requestTimeoutMs ?? 300_000,
    // What was read is a format.
    accessLog: String(given.accessLog ?? ''),
    forwardedAllowIps: given.forwardedAllowIps ?? [],
    maxRequests: given.maxRequests ?? 0,
    maxRequestsJitter: given.maxRequestsJitter ?? 0,
    ...limitsOf(given),
    restart: { ...own, ...given.restart },
  }
}

interface ConsumerContext {
  readonly base: string
  readonly own: ResolvedRestart
  readonly problems: Problem[]
}

function resolveConsumer(given: ConsumerConfig, at: string, { base, own, problems }: ConsumerContext): ResolvedConfig['consumers'][string] {
  return {
    entry: entryFile(given.entry, base, `${at}.entry`, problems),
    instances: given.instances ?? 1,
    ...threadsOf(given, at, { base, problems }),
    heartbeatTimeoutMs: given.heartbeatTimeoutMs ?? 30_000,
    startTimeoutMs: given.startTimeoutMs ?? 30_000,
    ...limitsOf(given),
    restart: { ...own, ...given.restart },
  }
}

type Threads = Pick<ConsumerConfig, keyof typeof threads>

function threadsOf(
  { kind = 'process', threadHeapMb = 0, preload }: Threads,
  at: string,
  { base, problems }: Pick<ConsumerContext, 'base' | 'problems'>,
): Required<Omit<Threads, 'preload'>> & { preload?: string } {
  return { kind, threadHeapMb, ...(preload !== undefined && { preload: entryFile(preload, base, `${at}.preload`, problems) }) }
}

/** Web threads rest on moving an accepted socket to another thread, which Node does since these versions, and for TCP. */
function checkThreads(binds: readonly string[], node: string, problems: Problem[]): void {
  const [major = 0, minor = 0] = node.split('.').map(Number)
  const able = major > 26 || (major === 26 && minor >= 6) || (major === 24 && minor >= 20)
  if (!able) problems.push({ path: 'web.kind', expected: `'process', or Node 24.20 or 26.6 or newer for 'thread'`, got: `Node ${node}` })
  for (const got of binds.filter((bind) => bind.startsWith('unix:'))) {
    problems.push({ path: 'web.bind', expected: `host:port with web.kind 'thread', since Node moves only TCP sockets to threads`, got })
  }
}

type Limits = Pick<ConsumerConfig, keyof typeof limits>

function limitsOf({ minReady = 1, maxLifetimeMs = 0, maxLifetimeJitterMs = 0, maxMemoryMb = 0 }: Limits): Required<Limits> {
  return { minReady, maxLifetimeMs, maxLifetimeJitterMs, maxMemoryMb }
}

/** The entry's absolute path, which may hold a wrong one where a problem was found. */
function entryFile(entry: string | undefined, base: string, at: string, problems: Problem[]): string {
  if (entry === undefined) {
    // A value of the wrong type was reported where it was read.
    if (!problems.some((problem) => problem.path === at)) problems.push({ path: at, expected: "a module's path", got: 'nothing' })
    return ''
  }
  const file = resolve(base, entry)
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
    // It may come yet.
    channel(WATCH_CHANNEL).publish(file)
    problems.push({ path: at, expected: "a module's path", got: `${file}, which is no file` })
  }
  return file
}

function checkName(name: string, part: 'consumers' | 'exec' | 'forward', problems: Problem[]): void {
  const at = `${part}.${name}`
  if (RESERVED.includes(name)) problems.push({ path: at, expected: `a name other than ${RESERVED.join(', ')}`, got: show(name) })
  else if (!/^[A-Za-z][\w-]{0,63}$/.test(name)) {
    problems.push({ path: at, expected: 'a name of letters, digits, _ and -, starting with a letter', got: show(name) })
  }
}

/** `address` was checked when it was read. */
function inFull(given: string, base: string): string {
  return normalAddress(given, base) ?? given
}
