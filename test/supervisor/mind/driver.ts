/** The state machine without any process: a clock and children that a test moves by hand. */
import type { Clock } from '../../../src/core/clock.ts'
import type { ResolvedConfig } from '../../../src/config/types.ts'
import { NODE_TIMEOUTS } from '../../../src/worker/web/timeouts.ts'
import type { ControlReply } from '../../../src/supervisor/control-protocol.ts'
import type { Command, Event, MasterSignal } from '../../../src/supervisor/events.ts'
import type { ToChild, UnitStatus } from '../../../src/supervisor/protocol.ts'
import { createSupervision, type Supervision } from '../../../src/supervisor/supervision.ts'

export interface FakeChild {
  readonly id: number
  readonly role: string
  readonly label: string
  readonly heard: ToChild[]
  /** Hooks it was asked to run and has not answered yet. */
  readonly hooks: Extract<ToChild, { type: 'hook' }>[]
  /** A command of `preStart`, which ends when it is done. */
  readonly isStep: boolean
  isReady: boolean
  killed: boolean
}

const restart = { minMs: 100, maxMs: 1_000, maxCrashes: 3, windowMs: 60_000 }
const limits = { minReady: 1, maxLifetimeMs: 0, maxLifetimeJitterMs: 0, maxMemoryMb: 0, threadHeapMb: 0 }
const unit = { entry: '/app/x.ts', kind: 'process' as const, heartbeatTimeoutMs: 10_000, startTimeoutMs: 5_000, ...limits, restart }

/** A unit of a command that replaces itself strictly. */
export const command = {
  command: ['/bin/true'],
  cwd: '/',
  env: {},
  ready: 'started',
  startTimeoutMs: 5_000,
  stopSignal: 'SIGTERM',
} as const
export const oldFirst = { ...command, replace: 'old-first', instances: 2, ...limits, restart } as const

export function config(changes: Partial<ResolvedConfig> = {}): ResolvedConfig {
  return {
    file: '/app/omnibus.config.ts',
    root: '/app',
    bus: { urls: [], builtin: true, data: '/app/.omnibus' },
    web: {
      ...unit,
      ...NODE_TIMEOUTS,
      bind: ['127.0.0.1:8000'],
      backlog: 2048,
      workers: 2,
      accessLog: '',
      forwardedAllowIps: [],
      maxRequests: 0,
      maxRequestsJitter: 0,
    },
    consumers: { video: { ...unit, instances: 2 } },
    hooks: ['onStarting'],
    workerHooks: [],
    exec: {},
    forward: {},
    preStart: [],
    gracefulTimeoutMs: 10_000,
    hookTimeoutMs: 5_000,
    onPermanentFailure: 'exit',
    restart,
    processes: { env: {} },
    logLevel: 'info',
    ...changes,
  }
}

export class Driver {
  readonly mind: Supervision
  readonly children = new Map<number, FakeChild>()
  readonly logs: string[] = []
  readonly commands: Command[] = []
  /** By request. */
  readonly replies = new Map<number, ControlReply>()
  #requests = 0
  exitCode: number | undefined
  /** What the config file says when it is read next; undefined: it is broken. */
  file: ResolvedConfig | undefined
  #now = 0

  constructor(file: ResolvedConfig = config()) {
    this.file = file
    const clock: Clock = { monotonic: () => this.#now, wall: () => 1_700_000_000_000 + this.#now, after: () => ({ cancel() {} }) }
    this.mind = createSupervision({
      file: '/app/omnibus.config.ts',
      root: '/app',
      overrides: {},
      withoutWeb: false,
      clock,
      random: () => 0,
    })
    this.tell({ type: 'begin' })
  }

  tell(event: Event): void {
    for (const command of this.mind.handle(event)) {
      this.commands.push(command)
      if (this.exitCode !== undefined) throw new Error(`${command.type} after the exit`)
      this.#carryOut(command)
    }
  }

  signal(signal: MasterSignal): void {
    this.tell({ type: 'signal', signal })
  }

  /** Returns its id in `replies`. */
  request(request: Extract<Event, { type: 'request' }>['request']): number {
    const id = ++this.#requests
    this.tell({ type: 'request', id, request })
    return id
  }

  /** Lets time pass, with a tick at each deadline on the way. */
  pass(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const due = this.mind.nextDeadline()
      if (due === undefined || due > end || this.exitCode !== undefined) break
      this.#now = Math.max(this.#now, due)
      this.tell({ type: 'tick' })
    }
    this.#now = end
  }

  /** Time in which nobody ticked: the master itself was asleep. */
  sleep(ms: number): void {
    this.#now += ms
  }

  get isOverdue(): boolean {
    return (this.mind.nextDeadline() ?? Infinity) <= this.#now
  }

  labelled(label: string): FakeChild[] {
    return [...this.children.values()].filter((child) => child.label === label)
  }

  /** The newest process of that label. */
  child(label: string): FakeChild {
    const found = this.labelled(label).at(-1)
    if (!found) throw new Error(`no process ${label}; there are ${[...this.children.values()].map((child) => child.label).join(', ')}`)
    return found
  }

  load(child: FakeChild): void {
    if (this.file) this.tell({ type: 'message', child: child.id, message: { type: 'loaded', config: this.file } })
    else this.tell({ type: 'message', child: child.id, message: { type: 'failed', message: 'the file is broken', config: true } })
  }

  ready(child: FakeChild): void {
    child.isReady = true
    this.tell({ type: 'message', child: child.id, message: { type: 'ready' } })
  }

  /** Its oldest hook has ended. */
  hooked(child: FakeChild): void {
    const call = child.hooks.shift()
    if (call) this.tell({ type: 'message', child: child.id, message: { type: 'hooked', id: call.id } })
  }

  beat(child: FakeChild, status: UnitStatus = {}): void {
    this.tell({ type: 'message', child: child.id, message: { type: 'beat', status } })
  }

  exit(child: FakeChild, code: number | null = 0, signal: string | null = null): void {
    this.children.delete(child.id)
    this.tell({ type: 'exit', child: child.id, code, signal })
  }

  /** What a well-behaved child does next, if anything: answers `load`, gets ready, ends when asked or killed. */
  behave(child: FakeChild): boolean {
    if (!this.children.has(child.id)) return false
    const last = child.heard.findLast(({ type }) => type !== 'activate')
    if (child.killed) this.exit(child, null, 'SIGKILL')
    else if (child.hooks.length > 0) this.hooked(child)
    else if (last?.type === 'stop') this.exit(child)
    else if (last?.type === 'load' && !this.#loaded.has(child.id)) {
      this.#loaded.add(child.id)
      this.load(child)
      if (!this.file) this.exit(child, 78)
    } else if (last?.type === 'start' && !this.#started.has(child.id)) {
      this.#started.add(child.id)
      if (child.isStep) this.exit(child)
      else this.ready(child)
    } else return false
    return true
  }

  /** Everybody behaves until nobody has anything to do. */
  settle(): void {
    for (let again = true; again && this.exitCode === undefined;) {
      again = false
      for (const child of this.children.values()) again = this.behave(child) || again
    }
  }

  readonly #loaded = new Set<number>()
  readonly #started = new Set<number>()

  #carryOut(command: Command): void {
    switch (command.type) {
      case 'spawn':
        this.children.set(command.child, {
          id: command.child,
          role: command.role,
          label: command.label,
          heard: [],
          hooks: [],
          isStep: command.spec?.ready === 'exit',
          isReady: false,
          killed: false,
        })
        return
      case 'send': {
        const { message } = command
        const child = this.children.get(command.child)
        if (message.type === 'hook') child?.hooks.push(message)
        else child?.heard.push(message)
        return
      }
      case 'kill': {
        const child = this.children.get(command.child)
        if (child) child.killed = true
        return
      }
      case 'prepare':
      case 'bind':
        return void this.#prepared.push(command)
      case 'reply':
        if (this.replies.has(command.to)) throw new Error(`a second reply to request ${command.to}`)
        return void this.replies.set(command.to, command.reply)
      case 'log':
        return void this.logs.push(command.message)
      case 'exit':
        this.exitCode = command.code
        return
      case 'upgrade':
        this.tell({ type: 'successor', is: 'started', pid: 4711 })
        return
      case 'level':
      case 'inherit':
      case 'notify':
      case 'unbind':
    }
  }

  readonly #prepared: Extract<Command, { type: 'prepare' | 'bind' }>[] = []

  /** The sockets are bound, as `prepare` or `bind` asked for; `error` where they cannot be in a reload. */
  prepared(error?: string): void {
    const asked = this.#prepared.shift()
    if (!asked) return
    const urls = asked.config.web?.bind.map((bind) => `http://${bind}`) ?? []
    if (asked.type === 'prepare') this.tell({ type: 'prepared', urls })
    else this.tell({ type: 'bound', loader: asked.loader, urls, ...(error !== undefined && { error }) })
  }
}

/** A house in which all is well and running. */
export function running(file: ResolvedConfig = config()): Driver {
  const driver = new Driver(file)
  driver.settle()
  driver.prepared()
  driver.settle()
  return driver
}

/** The state of each place, by label. */
export const states = ({ mind }: Driver): Record<string, string> =>
  Object.fromEntries(mind.status().units.map(({ label, state }) => [label, state]))
