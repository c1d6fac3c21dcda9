/** From what the config file exports to plain data: checked, every default filled in, every path absolute. */
import { dirname, resolve } from 'node:path'
import { ConfigError, type Problem } from '../core/errors.ts'
import { type Fields, list, object, oneOf, record, show, whole } from '../core/options.ts'
import { address, inFull } from './address.ts'
import { busField, resolveBus } from './bus.ts'
import { consumerField, resolveConsumer } from './consumers.ts'
import type { Environment } from './environment.ts'
import { execField, resolveExec } from './exec.ts'
import { type ConfigOverrides, FLAG_NAMES, type Flags, readFlags } from './flags.ts'
import { forwardField, resolveForward } from './forward.ts'
import { gatewayField, resolveGateway } from './gateway.ts'
import { hooksField, SERVER_HOOKS, WORKER_HOOKS } from './hooks.ts'
import { path } from './paths.ts'
import { resolveStep, stepField } from './pre-start.ts'
import { processFields, resolveProcesses } from './processes.ts'
import { resolveStatsd, statsdField } from './statsd.ts'
import type { OmnibusConfig, ResolvedConfig } from './types.ts'
import { type Context, resolveRestart, restart } from './unit.ts'
import { resolveWeb, webField } from './web.ts'

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

const FIELDS: Fields<OmnibusConfig> = {
  bus: busField,
  web: webField,
  consumers: record(consumerField),
  exec: record(execField),
  forward: record(forwardField),
  gateway: gatewayField,
  preStart: list(stepField) as Fields<OmnibusConfig>['preStart'],
  hooks: hooksField,
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

/** Labels of the master's own units: a consumer of that name could not be told apart in logs and status. */
const RESERVED = ['web', 'hooks', 'broker', 'config', 'gateway', 'preStart']

/** Throws `ConfigError` with every problem found. */
export function resolveConfig(input: unknown, given: ResolveContext): ResolvedConfig {
  const { file, root, env: outside = {}, node = process.versions.node } = given
  const problems: Problem[] = []
  const config = readConfig(input, problems)
  const flags = readFlags(given.overrides ?? {}, problems)
  const base = file === undefined ? root : dirname(file)
  const envFile = flags.envFile === undefined ? undefined : resolve(root, flags.envFile)
  const processes = resolveProcesses(config, { base, envFile, env: outside, problems })
  const context: Context = { base, env: { ...outside, ...processes.env }, restart: resolveRestart(config.restart), problems }

  const webPart = config.web ?? (flags.entry === undefined ? undefined : {})
  if (webPart === undefined) refuseWebFlags(flags, problems)
  const web = webPart && resolveWeb(webPart, { ...context, flags, root, node })
  const consumers = named('consumers', config.consumers, context, resolveConsumer)
  const exec = named('exec', config.exec, context, resolveExec, { 'no consumer': config.consumers })
  const forward = named('forward', config.forward, context, resolveForward, { 'no consumer': config.consumers, 'no command': config.exec })
  const gateway = config.gateway && resolveGateway(config.gateway, context)
  const preStart = (config.preStart ?? []).map((step, index) => resolveStep(step, `preStart[${index}]`, context))
  const pidFile = flags.pidFile === undefined ? config.pidFile && resolve(base, config.pidFile) : resolve(root, flags.pidFile)
  if (problems.length > 0) throw new ConfigError(file ?? 'The configuration', problems)

  return {
    ...(file !== undefined && { file }),
    root: base,
    bus: resolveBus(config.bus ?? {}, { base, flags, root }),
    ...(web && { web }),
    consumers,
    exec,
    forward,
    ...(gateway && { gateway }),
    preStart,
    hooks: SERVER_HOOKS.filter((name) => config.hooks?.[name] !== undefined),
    workerHooks: WORKER_HOOKS.filter((name) => config.hooks?.[name] !== undefined),
    gracefulTimeoutMs: config.gracefulTimeoutMs ?? 25_000,
    hookTimeoutMs: config.hookTimeoutMs ?? 30_000,
    onPermanentFailure: config.onPermanentFailure ?? 'exit',
    restart: context.restart,
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

function refuseWebFlags(flags: Flags, problems: Problem[]): void {
  for (const flag of ['workers', 'bind'] as const) {
    if (flags[flag] !== undefined) problems.push({ path: FLAG_NAMES[flag], expected: 'a config with a `web` part', got: 'one without' })
  }
}

type Names = Readonly<Record<string, unknown>> | undefined

/** The units of one part, by name. `others` are parts that share their names, by what none of theirs may have it. */
function named<Given, Unit>(
  part: 'consumers' | 'exec' | 'forward',
  units: Readonly<Record<string, Given>> | undefined,
  context: Context,
  resolveOne: (given: Given, at: string, context: Context) => Unit,
  others: Readonly<Record<string, Names>> = {},
): Readonly<Record<string, Unit>> {
  const entries = Object.entries(units ?? {}).map(([name, given]) => {
    const at = `${part}.${name}`
    const refuse = (expected: string): void => void context.problems.push({ path: at, expected, got: show(name) })
    if (RESERVED.includes(name)) refuse(`a name other than ${RESERVED.join(', ')}`)
    else if (!/^[A-Za-z][\w-]{0,63}$/.test(name)) refuse('a name of letters, digits, _ and -, starting with a letter')
    if (Object.values(others).some((names) => names?.[name])) refuse(`a name that ${Object.keys(others).join(' and ')} has`)
    return [name, resolveOne(given, at, context)] as const
  })
  return Object.fromEntries(entries)
}
