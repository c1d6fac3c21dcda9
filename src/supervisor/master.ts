/** The shell around the state machine: processes, sockets, timers, signals. It decides nothing. */
import { systemClock, type Timer } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { ConfigOverrides } from '../config/flags.ts'
import type { ResolvedConfig } from '../config/types.ts'
import { takeActivation } from './activation.ts'
import type { FileWatch, watchFiles } from './dev/watch.ts'
import type { Command, Event } from './events.ts'
import { EXIT } from './exit-codes.ts'
import { type Guard, startGuard } from './guard.ts'
import { reportHang } from './hang/report.ts'
import { type Asker, type Control, startControl } from './control.ts'
import type { ControlReply, ControlRequest } from './control-protocol.ts'
import { createLog, type MasterLog } from './log.ts'
import { answerLogs } from './logs/follow.ts'
import { openStatsd, type Statsd } from '../metrics/statsd.ts'
import { type PidFile, writePidFile } from './pid-file.ts'
import { type Probes, startProbes } from './probes.ts'
import type { Process } from './processes.ts'
import { type Notifier, takeNotifier } from './notify.ts'
import { onMasterSignals } from './signals.ts'
import { Sockets } from './sockets.ts'
import { type SpawnContext, spawnProcess, workerScript } from './spawn.ts'
import { prepareSurroundings } from './surroundings.ts'
import { readyWorkers } from './status.ts'
import { createSupervision, type Supervision } from './supervision.ts'
import { type Predecessor, startSuccessor, type Successor, takePredecessor, whyNoSuccessor } from './takeover.ts'
import { listeningOf } from './units.ts'

export interface MasterOptions {
  /** The config file, absolute; absent: `overrides.entry` is the web app. */
  readonly file?: string | undefined
  /** Where relative paths in flags start from. @default the working directory */
  readonly root?: string
  readonly overrides?: ConfigOverrides
  /** Everything but the web part. @default false */
  readonly withoutWeb?: boolean
  /** `dev`: files that change are loaded anew. @default false */
  readonly dev?: boolean
  /** What every child runs. @default the one of this package */
  readonly workerScript?: string
}

/** Runs until everything has stopped; resolves with the exit code. Takes over the process: signals, stdout, title. */
export async function runMaster(options: MasterOptions): Promise<number> {
  // In place of the command line, which may hold a URL with a password.
  process.title = 'omnibus master'
  const watching = options.dev ? (await import('./dev/watch.ts')).watchFiles : undefined
  return new Promise((resolve) => new Master(options, watching, resolve).begin())
}

class Master {
  readonly #withoutWeb: boolean
  readonly #log: MasterLog
  readonly #watch: FileWatch | undefined
  readonly #guard: Guard
  readonly #mind: Supervision
  readonly #processes = new Map<number, Process>()
  readonly #spawning: SpawnContext
  readonly #queue: Event[] = []
  readonly #sockets: Sockets
  readonly #activated: readonly string[]
  readonly #notifier: Notifier
  #predecessor: Predecessor | undefined
  #successor: Successor | undefined
  readonly #done: (code: number) => void
  #handling = false
  #timer: Timer | undefined
  #probes: Probes | undefined
  #statsd: Statsd | undefined
  #pidFile: PidFile | undefined
  #control: Control | undefined
  readonly #askers = new Map<number, (reply: ControlReply) => void>()
  #requests = 0
  #over = false
  #root: string

  constructor(options: MasterOptions, watching: typeof watchFiles | undefined, done: (code: number) => void) {
    const { file, root = process.cwd(), withoutWeb = false, dev = false } = options
    this.#root = root
    this.#withoutWeb = withoutWeb
    const { binds, problem } = takeActivation(process.env)
    this.#predecessor = takePredecessor(process.env)
    this.#notifier = takeNotifier(process.env, (reason) => this.#log.write('warn', `systemd is not told: ${reason}`))
    this.#sockets = new Sockets(this.#predecessor?.sockets)
    this.#activated = this.#predecessor?.activated ?? binds
    // As in Gunicorn, they take the place of whatever address was configured.
    const overrides = { ...options.overrides, ...(this.#activated.length > 0 && { bind: this.#activated }) }
    this.#log = createLog(dev ? { pretty: process.env['OMNIBUS_LOG'] !== 'json' } : {})
    this.#watch = watching?.((files) => this.handle({ type: 'changed', files }))
    this.#guard = startGuard({
      onLost: (reason) =>
        this.#log.write('warn', `The guard that ends the children if this process is killed is gone, and starts again: ${reason}`),
    })
    this.#spawning = {
      workerScript: options.workerScript ?? workerScript('main'),
      guard: this.#guard,
      log: this.#log,
      watch: this.#watch,
      sockets: this.#sockets,
      onEvent: (event) => {
        if (event.type === 'exit') this.#processes.delete(event.child)
        this.handle(event)
      },
    }
    if (problem !== undefined) this.#log.write('warn', problem)
    this.#mind = createSupervision({
      file,
      root,
      overrides,
      withoutWeb,
      dev: dev ? { standIn: workerScript('dev/stand-in') } : undefined,
      predecessor: this.#predecessor?.pid,
      cannotUpgrade: whyNoSuccessor(),
      clock: systemClock,
      random: Math.random,
    })
    this.#predecessor?.onGone(() => this.handle({ type: 'predecessorGone' }))
    const stopListening = onMasterSignals((signal) => this.handle({ type: 'signal', signal }))
    const onFault = (error: unknown): void => this.#fail(error)
    process.on('uncaughtException', onFault)
    this.#done = (code) => {
      stopListening()
      process.off('uncaughtException', onFault)
      done(code)
    }
  }

  begin(): void {
    this.handle({ type: 'begin' })
    // Beside the config that is read meanwhile.
    if (!this.#withoutWeb && !this.#predecessor) this.#sockets.prepare()
  }

  /** Events that come up while one is handled wait for their turn. */
  handle(event: Event): void {
    this.#queue.push(event)
    if (this.#handling) return
    this.#handling = true
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      for (const command of this.#mind.handle(next)) this.#execute(command)
    }
    this.#handling = false
    this.#tellMetrics()
    this.#schedule()
  }

  #tellMetrics(): void {
    if (!this.#statsd) return
    const status = this.#mind.status()
    this.#statsd.workers(readyWorkers(status))
    this.#statsd.messages(status.units)
  }

  #execute(command: Command): void {
    switch (command.type) {
      case 'log':
        return this.#log.write(command.level, command.message, command.fields)
      case 'level':
        return this.#log.setLevel(command.level)
      case 'prepare':
        return void this.#prepare(command.config)
      case 'bind':
        return void this.#bind(command)
      case 'unbind':
        return this.#sockets.keep(command.except ? listeningOf(command.except) : [], this.#isShared)
      case 'upgrade':
        return this.#upgrade()
      case 'inherit':
        this.#predecessor = undefined
        return this.#pidFile?.promote()
      case 'notify':
        if (command.state === 'ready') this.#predecessor?.tellReady()
        return this.#notifier.tell(command.state)
      case 'spawn':
        return this.#spawn(command)
      case 'send': {
        const { child, message } = command
        return this.#processes.get(child)?.send(message)
      }
      case 'kill':
        return void this.#kill(command)
      case 'reply':
        this.#askers.get(command.to)?.(command.reply)
        return void this.#askers.delete(command.to)
      case 'exit':
        return void this.#end(command.code)
    }
  }

  #spawn(command: Extract<Command, { type: 'spawn' }>): void {
    const { child } = command
    const started = spawnProcess(command, this.#spawning)
    this.#processes.set(child, started)
    if (started.pid !== undefined) this.#queue.push({ type: 'spawned', child, pid: started.pid })
  }

  async #kill({ child, diagnose: label }: Extract<Command, { type: 'kill' }>): Promise<void> {
    const victim = this.#processes.get(child)
    if (label !== undefined && victim) await reportHang(victim, { label, root: this.#root, log: this.#log })
    victim?.kill()
  }

  async #prepare(config: ResolvedConfig): Promise<void> {
    this.#root = config.root
    try {
      prepareSurroundings(config)
      if (config.pidFile !== undefined) this.#pidFile = writePidFile(config.pidFile, { second: this.#predecessor !== undefined })
      if (config.statsd) {
        this.#statsd = await openStatsd(config.statsd, (error) => this.#log.write('warn', `Metrics cannot be sent: ${error.message}`))
      }
      await this.#sockets.open(listeningOf(config))
      if (config.probes !== undefined) {
        this.#probes = await startProbes(await this.#sockets.openProbes(config.probes), () => this.#mind.status())
      }
      this.#sockets.dropUnused(listeningOf(config), config.probes)
    } catch (error) {
      return this.handle({ type: 'unprepared', message: messageOf(error) })
    }
    this.#control = await this.#openControl(config)
    // A stop may have overtaken it.
    if (this.#over) return this.#release()
    this.handle({ type: 'prepared', urls: this.#urlsOf(config) })
  }

  async #bind({ loader, config }: Extract<Command, { type: 'bind' }>): Promise<void> {
    try {
      await this.#sockets.open(listeningOf(config))
      this.handle({ type: 'bound', loader, urls: this.#urlsOf(config) })
    } catch (error) {
      this.handle({ type: 'bound', loader, urls: [], error: messageOf(error) })
    }
  }

  #urlsOf(config: ResolvedConfig): readonly string[] {
    return this.#sockets.of(listeningOf(config, 'web')).map(({ url }) => url)
  }

  #upgrade(): void {
    this.#successor = startSuccessor({
      sockets: this.#sockets.all,
      activated: this.#activated,
      env: { ...process.env, ...this.#notifier.env },
      onEvent: (event) => {
        if (event.is === 'gone') this.#successor = undefined
        this.handle(event)
      },
    })
  }

  /** Another master serves on the same sockets. */
  get #isShared(): boolean {
    return this.#successor !== undefined || this.#predecessor !== undefined
  }

  /** Signals work without it, so a folder that cannot be written is no reason not to serve. */
  async #openControl({ root, file }: ResolvedConfig): Promise<Control | undefined> {
    try {
      return await startControl({ root, file, onRequest: (request, asker) => this.#answer(request, asker) })
    } catch (error) {
      this.#log.write('warn', `There is no control socket, so that only signals reach this master: ${messageOf(error)}`)
      return undefined
    }
  }

  #answer(request: ControlRequest, asker: Asker): void {
    if (request.verb === 'status') {
      return asker.reply({ ok: true, message: 'Running', status: { pid: process.pid, ...this.#mind.status() } })
    }
    if (request.verb === 'logs') return answerLogs(this.#log.ring, this.#mind.status(), request, asker)
    const id = ++this.#requests
    this.#askers.set(id, (reply) => asker.reply(reply))
    this.handle({ type: 'request', id, request })
  }

  #schedule(): void {
    this.#timer?.cancel()
    const due = this.#mind.nextDeadline()
    if (due === undefined || this.#over) return
    this.#timer = systemClock.after(Math.max(0, due - systemClock.monotonic()), () => this.handle({ type: 'tick' }))
  }

  async #end(code: number): Promise<void> {
    this.#over = true
    this.#timer?.cancel()
    this.#watch?.close()
    this.#release()
    await this.#statsd?.close()
    await this.#guard.close()
    this.#control?.close()
    this.#successor?.release()
    this.#done(code)
  }

  #release(): void {
    this.#probes?.close()
    this.#sockets.close(this.#isShared)
    this.#pidFile?.remove()
    this.#control?.withdraw()
  }

  /** A fault of the master's own: nothing it believes can be trusted any more, so all ends at once. */
  #fail(error: unknown): void {
    this.#log.write('error', `The master failed: ${error instanceof Error ? error.stack : String(error)}`)
    for (const child of this.#processes.values()) child.kill()
    void this.#end(EXIT.internal)
  }
}
