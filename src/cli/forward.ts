import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { eventsExchange } from '../bus/event.ts'
import { isLoopback } from '../config/address.ts'
import { isNamedOutright } from '../config/target.ts'
import type { ExecConfig } from '../config/exec.ts'
import type { ForwardConfig } from '../config/forward.ts'
import type { GatewayConfig } from '../config/gateway.ts'
import type { OmnibusConfig } from '../config/types.ts'
import { type Queue, type QueueOptions, type QueueType, queue } from '../core/entities.ts'
import { ConfigError, messageOf } from '../core/errors.ts'
import { checkConfig, type CheckFlags, withCheckFlags } from './check.ts'
import { wholeNumber } from './options.ts'
import { overridesOf } from './serve.ts'

interface ForwardOptions extends CheckFlags {
  readonly queue?: string
  readonly to?: string
  readonly listensTo?: readonly string[]
  readonly queueType?: string
  readonly concurrency?: number
  readonly ordered?: boolean
  readonly timeoutMs?: number
  readonly attempts?: number
  readonly ready?: string
  readonly tokenFile?: string
  readonly secretFile?: string
  readonly caFile?: string
  readonly allowPrivate?: boolean
  readonly listen?: string
  readonly listenTokenFile?: string
  readonly probes?: string
  readonly pid?: string
  readonly envFile?: string
  readonly busUrl?: string
  readonly data?: string
}

/** Where the flags stand in the config they make, so that an error names what was typed. */
const FLAGS: Readonly<Record<string, string>> = {
  // Of queue() itself.
  name: '--queue',
  type: '--queue-type',
  'forward.forward.queue': '--queue',
  'forward.forward.to': '--to',
  'forward.forward.concurrency': '--concurrency',
  'forward.forward.timeoutMs': '--timeout-ms',
  'forward.forward.retry.attempts': '--attempts',
  'forward.forward.ready': '--ready',
  'forward.forward.token': '--token-file',
  'forward.forward.secret': '--secret-file',
  'forward.forward.ca': '--ca-file',
  'gateway.listen': '--listen',
  'gateway.token': '--listen-token-file',
  'bus.url': '--bus-url or $BUS_URL',
  'exec.app.command': '-- COMMAND',
  'exec.app.ready.url': '--ready',
  probes: '--probes',
}

export function forward(finish: (code: number) => void): Command {
  const command = new Command('forward')
    .description('send the messages of a queue to a web app by HTTP, take messages from it by HTTP, and run it: a sidecar for any language')
    .usage('[options] [-- COMMAND ...]')
    .argument('[COMMAND...]', 'behind --: the app, run and watched as a unit; either dead for good ends the whole with 69')
    .option('--queue <name>', 'the queue whose messages are sent')
    .option('--to <url>', 'where to: a POST each, as CloudEvents in binary mode; acked on 2xx')
    .option(
      '--listens-to <type>',
      'events that go to the queue, such as video.*; may be given more than once',
      (one: string, all: readonly string[] | undefined) => [...(all ?? []), one],
    )
    .option('--queue-type <type>', 'quorum, or classic as Kombu and Pika declare theirs (default: quorum)')
    .option('--concurrency <number>', 'requests under way (default: 10)', wholeNumber)
    .option('--ordered', 'one message at a time; the queue is one with a single active consumer')
    .option('--timeout-ms <ms>', 'an answer must be complete by then (default: 30000)', wholeNumber)
    .option('--attempts <number>', 'of each message, before it goes to <queue>.dlq (default: 10)', wholeNumber)
    .option(
      '--ready <url>',
      'nothing is fetched before a GET of it is answered with 200 to 399 (default: before --to accepts a connection)',
    )
    .option('--token-file <file>', 'holds a token, sent along as Authorization: Bearer')
    .option('--secret-file <file>', 'holds a secret (whsec_...) that signs each request as Standard Webhooks has it')
    .option('--ca-file <file>', 'certificates in PEM, one of which vouches for --to (default: those of well-known authorities)')
    .option('--allow-private', 'a host name may lead to this machine or a private network')
    .option('--listen <address>', 'host:port or unix:/path where POST /publish publishes')
    .option('--listen-token-file <file>', 'holds the token that clients of --listen have to send; needed where it is not of this machine')
    .option('--probes <address>', 'host:port or unix:/path of /livez, /startupz, /readyz and /status')
    .option('--pid <file>', 'write the pid of the master there')
    .option('--env-file <file>', 'NAME=value lines for all processes; what is set already stays')
    .option('--bus-url <url>', 'broker to use; several with commas (default: $BUS_URL, else the built-in broker)')
    .option('--data <folder>', "the built-in broker's folder (default: .omnibus)")
  return withCheckFlags(command).action(async (words: string[], options: ForwardOptions) => {
    const { checkConfig: dry = false, printConfig: print = false } = options
    const overrides = { config: configOf(words, options), ...overridesOf(options) }
    const { resolveConfig } = await import('../config/resolve.ts')
    // Once here, where it is known which flag is at fault; no code of anybody's is run by it.
    inFlags(() => resolveConfig(overrides.config, { root: process.cwd(), overrides, env: process.env }))
    if (dry || print) return checkConfig(finish, print, { overrides })
    const { runMaster } = await import('../supervisor/index.ts')
    finish(await runMaster({ overrides }))
  })
}

function configOf(words: readonly string[], options: ForwardOptions): OmnibusConfig {
  const { to, queue: name, listen, probes } = options
  if (to === undefined && listen === undefined)
    throw refused([{ path: '--to', expected: 'the URL messages are sent to, or --listen', got: 'neither' }])
  const busUrl = process.env['BUS_URL']
  return {
    bus: { ...(busUrl && { url: busUrl.split(',') }) },
    ...((to !== undefined || name !== undefined) && { forward: { forward: forwardOf(options) } }),
    ...(listen !== undefined && { gateway: gatewayOf(listen, options) }),
    ...(words.length > 0 && { exec: { app: { command: words, ready: readyOf(options) } } }),
    ...(probes !== undefined && { probes }),
  }
}

/** What is missing in it, the config says. */
function forwardOf(options: ForwardOptions): ForwardConfig {
  const { queue: name, to, concurrency, ordered, timeoutMs, attempts, ready, tokenFile, secretFile, caFile, allowPrivate } = options
  return {
    ...(name !== undefined && { queue: queueOf(name, options) }),
    ...(to !== undefined && { to }),
    ...(concurrency !== undefined && { concurrency }),
    ...(ordered !== undefined && { ordered }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(attempts !== undefined && { retry: { attempts } }),
    ...(ready !== undefined && { ready }),
    ...(tokenFile !== undefined && { token: contentOf('--token-file', tokenFile) }),
    ...(secretFile !== undefined && { secret: contentOf('--secret-file', secretFile) }),
    ...(caFile !== undefined && { ca: caFile }),
    ...(allowPrivate !== undefined && { allowPrivate }),
  } as ForwardConfig
}

function gatewayOf(listen: string, { listenTokenFile }: ForwardOptions): GatewayConfig {
  return { listen, ...(listenTokenFile !== undefined && { token: contentOf('--listen-token-file', listenTokenFile) }) }
}

/** As the app's part of a config would declare it. */
function queueOf(name: string, { queueType, listensTo = [], ordered = false }: ForwardOptions): Queue {
  const options: QueueOptions = {
    ...(queueType !== undefined && { type: queueType as QueueType }),
    singleActiveConsumer: ordered,
    listensTo: listensTo.map((routingKey) => ({ exchange: eventsExchange, routingKey })),
  }
  return inFlags(() => queue(name, options))
}

/** The app is ready when the target is, as far as it can be told from here. */
function readyOf({ ready, to }: ForwardOptions): NonNullable<ExecConfig['ready']> {
  if (ready !== undefined) return { url: ready }
  const url = to !== undefined && URL.canParse(to) ? new URL(to) : undefined
  if (!url || !isNamedOutright(url)) return 'started'
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return isLoopback(`${url.hostname}:${port}`) ? { port: `${url.hostname}:${port}` } : 'started'
}

/** Not from the command line, which everybody on the machine can read. */
function contentOf(flag: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw refused([{ path: flag, expected: 'a file that can be read', got: messageOf(error) }], error)
  }
}

function inFlags<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw refused(error.problems.map((problem) => ({ ...problem, path: FLAGS[problem.path] ?? problem.path })))
  }
}

const refused = (problems: ConfigError['problems'], cause?: unknown): ConfigError => new ConfigError('omnibus forward', problems, { cause })
