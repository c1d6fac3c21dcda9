/** A stand-in for the master: starts a child of the real `worker/main` and speaks the protocol with it. */
import { fork, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { BoundSocket, type BoundSocketOptions } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { ResolvedConfig } from '../../src/config/types.ts'
import type { FromChild, Role, ToChild, UnitStatus } from '../../src/supervisor/protocol.ts'
import { NODE_TIMEOUTS } from '../../src/worker/web/timeouts.ts'
import { built } from '../support/built.ts'
import { killMarked, MARK, marked } from '../support/processes.ts'
import { runName } from '../support/run-folder.ts'
import { waitFor, within } from '../support/wait.ts'

const main = built('worker/main.ts')

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Child extends AsyncDisposable {
  readonly process: ChildProcess
  readonly pid: number
  readonly messages: readonly FromChild[]
  /** Everything on stdout and stderr so far. */
  readonly output: () => string
  readonly status: () => UnitStatus | undefined
  readonly beats: () => number
  send(message: ToChild): void
  message<T extends FromChild['type']>(type: T): Promise<Extract<FromChild, { type: T }>>
  exit(deadlineMs?: number): Promise<Exit>
  /** Living processes: it and all it started. */
  processes(): readonly number[]
  stop(options?: { reason?: 'stop' | 'reload'; deadlineMs?: number }): Promise<Exit>
}

export interface ChildOptions {
  readonly listenFd?: number
  readonly env?: Record<string, string>
}

/** The descriptor under which a child finds the inherited socket: after the three standard ones and IPC. */
export const LISTEN_FD = 4

/** A child in a process group of its own, gone with all it started when disposed. */
export function startChild(role: Role, options: ChildOptions = {}): Child {
  const mark = `${runName()}/${randomUUID()}`
  const { VITEST: _, NODE_ENV: __, NODE_OPTIONS: ___, ...inherited } = process.env
  const child = fork(main, [role], {
    detached: true,
    env: { ...inherited, OMNIBUS_UNIT: `${role}.1`, ...options.env, [MARK]: mark },
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc', ...(options.listenFd === undefined ? [] : [options.listenFd])],
  })
  const messages: FromChild[] = []
  let output = ''
  let last: UnitStatus | undefined
  let beats = 0
  child.on('message', (message: FromChild) => {
    messages.push(message)
    if (message.type !== 'beat') return
    beats += 1
    last = message.status
  })
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  // Not 'close': it never comes after this side has disconnected.
  const exited = new Promise<Exit>((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
  const read = [child.stdout, child.stderr].map((stream) => new Promise((resolve) => stream?.once('close', resolve)))
  const ended = Promise.all([exited, ...read]).then(([exit]) => exit)
  const gone = ended.then(({ code, signal }) => {
    throw new Error(`the child ended (${code ?? signal}) first:\n${output}`)
  })
  gone.catch(() => {})

  const self: Child = {
    process: child,
    pid: child.pid ?? 0,
    messages,
    output: () => output,
    status: () => last,
    beats: () => beats,
    send: (message) => void child.send(message),
    async message(type) {
      const find = (): FromChild | undefined => messages.find((message) => message.type === type)
      // A message that came before the end counts, also when the end came before we looked.
      const found = await Promise.race([
        waitFor(find, { what: `the child's "${type}"` }),
        gone.catch((error: unknown) => find() ?? Promise.reject(error)),
      ])
      return found as never
    },
    exit: (deadlineMs = 20_000) => within(ended, { what: `the child's end\n${output}`, deadlineMs }),
    stop({ reason = 'stop', deadlineMs = 5_000 } = {}) {
      self.send({ type: 'stop', reason, deadlineMs })
      return self.exit(deadlineMs + 5_000)
    },
    processes: () => marked(mark),
    async [Symbol.asyncDispose]() {
      killMarked(mark)
      await ended
    },
  }
  return self
}

export type WebConfig = NonNullable<ResolvedConfig['web']>

const limits = { minReady: 1, maxLifetimeMs: 0, maxLifetimeJitterMs: 0, maxMemoryMb: 0, threadHeapMb: 0 }
const restart = { minMs: 20, maxMs: 200, maxCrashes: 5, windowMs: 60_000 }

export function configWith(given: Partial<ResolvedConfig>): ResolvedConfig {
  return {
    root: '/',
    bus: { urls: [], builtin: false, data: '/nonexistent' },
    consumers: {},
    hooks: [],
    workerHooks: [],
    exec: {},
    forward: {},
    preStart: [],
    gracefulTimeoutMs: 5_000,
    hookTimeoutMs: 5_000,
    onPermanentFailure: 'exit',
    restart,
    processes: { env: {} },
    logLevel: 'info',
    ...given,
  }
}

export function webConfig(entry: string, bind = '127.0.0.1:0', given: Partial<WebConfig> = {}): ResolvedConfig {
  return configWith({
    web: {
      entry,
      bind: [bind],
      backlog: 2048,
      workers: 1,
      kind: 'process',
      heartbeatTimeoutMs: 5_000,
      startTimeoutMs: 10_000,
      ...NODE_TIMEOUTS,
      accessLog: '',
      forwardedAllowIps: [],
      maxRequests: 0,
      maxRequestsJitter: 0,
      ...limits,
      restart,
      ...given,
    },
  })
}

export function consumersConfig(
  entry: string,
  { name = 'work', ...given }: { name?: string; kind?: 'process' | 'thread'; instances?: number; heartbeatTimeoutMs?: number } = {},
): ResolvedConfig {
  const settings = {
    entry,
    instances: 1,
    kind: 'process' as const,
    heartbeatTimeoutMs: 10_000,
    startTimeoutMs: 10_000,
    ...limits,
    restart,
    ...given,
  }
  return configWith({ consumers: { [name]: settings } })
}

/** What the master holds: a bound socket that its web children listen on. */
export interface ListenSocket extends Disposable {
  readonly fd: number
  /** As the config says it. */
  readonly bind: string
  readonly url: string
  readonly port: number
}

export function bindSocket(): ListenSocket {
  const socket = new BoundSocket({ host: '127.0.0.1', port: 0 })
  const { port } = socket.address()
  return { fd: socket.fd(), port, bind: `127.0.0.1:${port}`, url: `http://127.0.0.1:${port}`, [Symbol.dispose]: () => socket.close() }
}

/** The same at a path. */
export function bindPath(path: string): ListenSocket {
  const options: BoundSocketOptions & { path: string } = { path }
  const socket = new BoundSocket(options)
  return { fd: socket.fd(), port: 0, bind: `unix:${path}`, url: path, [Symbol.dispose]: () => socket.close() }
}

export interface WebOptions extends Omit<ChildOptions, 'listenFd'> {
  readonly web?: Partial<WebConfig>
}

/** A web child that is told to start, not yet ready. */
export function startWeb(entry: string, socket: ListenSocket, { web, ...options }: WebOptions = {}): Child {
  const child = startChild('web', { ...options, listenFd: socket.fd })
  child.send({ type: 'start', unit: 'web.1', config: webConfig(entry, socket.bind, web), listenFds: [LISTEN_FD] })
  return child
}

export const fixture = (path: string): string => fileURLToPath(new URL(`fixtures/${path}`, import.meta.url))

/** The environment of the fixtures that speak TLS. */
export const tlsEnv = Object.freeze({ TLS_KEY: certificate('localhost.key.pem'), TLS_CERT: certificate('localhost.cert.pem') })

function certificate(name: string): string {
  return fileURLToPath(new URL(`../amqp/certificates/${name}`, import.meta.url))
}
