/** The life of a child: load, start, beat, stop, and every way it can fail. */
import { channel as diagnostics } from 'node:diagnostics_channel'
import { flushCompileCache } from 'node:module'
import { ConfigError, messageOf, OmnibusError } from '../core/errors.ts'
import { FAULTS_CHANNEL, type FromChild, type ToChild, type UnitStatus } from '../supervisor/protocol.ts'
import type { Channel } from './channel.ts'
import { deadlineIn, within } from './deadline.ts'
import { tellFailure } from './failure.ts'
import { idle } from './idle.ts'
import type { Log } from './log.ts'
import type { LoadMessage, RoleHost, StartMessage, StopReason, Unit } from './unit.ts'
import { NO_HOOKS } from './worker-hooks.ts'

/** sysexits: 75 is "it had to cut something off", 78 "the configuration is at fault", 70 everything else. */
export const exitCodes = Object.freeze({ stopped: 0, internal: 70, cutOff: 75, config: 78 })

// Two chances per second of the one the protocol asks for, so that one late turn of the loop is no silence.
const BEAT_MS = 500
// Kept back from every deadline, so that a child that must cut off its work still says so before it is killed.
const LAST_WORDS_MS = 250
// Without a `start` message (and its budget) a TERM still gets a bound.
const DEFAULT_STOP_MS = 25_000

const faults = diagnostics(FAULTS_CHANNEL)

/** Serves the master's messages until one ends the process. `remark` goes to the debug log, whose level only `start` tells. */
export function runChild(host: RoleHost, channel: Channel, log: Log, remark?: string): void {
  const starting = new AbortController()
  let started: Promise<Unit> | undefined
  let unit: Unit | undefined
  let status = (): UnitStatus => ({})
  let stopBudgetMs = DEFAULT_STOP_MS
  let ending = false
  let exiting = false

  const beat = (): void => {
    const memoryMb = Math.round(process.memoryUsage.rss() / 2 ** 20)
    void channel.send({ type: 'beat', status: { ...status(), memoryMb } })
  }

  const exit = async (code: number, { last, withinMs }: { last?: FromChild; withinMs?: number } = {}): Promise<void> => {
    // What goes wrong on the last steps is no reason to take them again.
    if (exiting) process.exit(code)
    exiting = true
    if (last) await channel.send(last)
    await host.beforeExit?.(code, withinMs)
    // A lock held by native code can hang process.exit(); the master kills the child then.
    process.exit(code)
  }

  const fail = (error: unknown): void => {
    // A start that was given up fails by our own hand.
    if (ending) return log.write(starting.signal.aborted ? 'debug' : 'error', messageOf(error), { error })
    ending = true
    const config = isConfigFault(error)
    if (!tellFailure(error)) log.write('error', messageOf(error), { error })
    void exit(config ? exitCodes.config : exitCodes.internal, { last: { type: 'failed', message: messageOf(error), config } })
  }

  const load = async (message: LoadMessage): Promise<void> => {
    if (host.load === undefined) throw new TypeError('"load" is for the config role alone')
    const config = await idle(channel, host.load(message), () => {
      const got = 'one that waits for something that can never happen (an unsettled await)'
      throw new ConfigError(message.file ?? 'The configuration', [{ path: 'the file', expected: 'a module that ends loading', got }])
    })
    await channel.send({ type: 'loaded', config })
  }

  const start = async (message: StartMessage): Promise<void> => {
    stopBudgetMs = message.config.gracefulTimeoutMs
    log.setLevel(message.config.logLevel)
    log.setUnit(message.unit)
    process.title = `omnibus ${message.unit}`
    if (remark !== undefined) log.write('debug', remark)
    started = host.start(message, {
      log,
      channel,
      fail,
      signal: starting.signal,
      report: (early) => void (status = early),
      hooks: NO_HOOKS,
    })
    unit = await started
    status = unit.status
    if (ending) return
    // What the master has to know before it lets the unit work.
    beat()
    await channel.send({ type: 'ready' })
    // The cache is written at a clean exit only, which a killed child never has.
    flushCompileCache()
  }

  const stop = async (reason: StopReason, budgetMs: number): Promise<void> => {
    if (ending) return
    ending = true
    const deadline = deadlineIn(Math.max(budgetMs - LAST_WORDS_MS, budgetMs * 0.8))
    const cut: string[] = []
    if (started !== undefined) {
      starting.abort(new Error('stopped while starting'))
      const settled = started.then(
        (value) => void (unit = value),
        (error: unknown) => log.write('debug', `not started: ${messageOf(error)}`),
      )
      if (!(await within(deadline.remainingMs(), settled))) cut.push('start was not finished')
    }
    if (unit !== undefined) {
      const stopping = unit.stop(reason, deadline).then((left) => void cut.push(...left))
      if (!(await within(deadline.remainingMs(), stopping))) cut.push('stop was not finished')
    }
    if (cut.length > 0) log.write('warn', `stopped at the deadline; cut off: ${cut.join(', ')}`)
    const withinMs = Math.max(deadline.remainingMs(), LAST_WORDS_MS * 0.8)
    await exit(cut.length > 0 ? exitCodes.cutOff : exitCodes.stopped, { withinMs })
  }

  const hook = async ({ id, call }: Extract<ToChild, { type: 'hook' }>): Promise<void> => {
    await unit?.hook?.(call)
    await channel.send({ type: 'hooked', id })
  }

  const handle = (message: ToChild): void | Promise<void> => {
    if (message.type === 'stop') return stop(message.reason, message.deadlineMs)
    if (ending) return
    switch (message.type) {
      case 'load':
        return load(message)
      case 'start':
        return start(message)
      case 'hook':
        return hook(message)
      case 'activate':
        return unit?.activate?.()
      case 'faults':
        return faults.publish(message.faults)
    }
  }

  process.on('uncaughtException', (error, origin) => {
    // An entry with a listener of its own has decided that it goes on.
    if (process.listenerCount('uncaughtException') > 1) return
    if (!tellFailure(error)) log.write('error', `${origin}: ${messageOf(error)}`, { error })
    void exit(exitCodes.internal)
  })
  // The master decides; a Ctrl-C reaches every process of the terminal. USR1 is Node's own: with it the master looks into one that hangs.
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
  process.on('SIGTERM', () => void stop('stop', stopBudgetMs))

  channel.onMessage((message) => {
    void (async () => handle(message))().catch((error: unknown) => {
      fail(error)
    })
  })
  setInterval(beat, BEAT_MS).unref()
  void channel.send({ type: 'beat', status: {} })
}

/** The config file, or what it names, cannot be used: starting again cannot help. By code, since the broker is not loaded here. */
function isConfigFault(error: unknown): boolean {
  return error instanceof OmnibusError && ['ERR_OMNIBUS_CONFIG', 'ERR_OMNIBUS_MISSING_PEER', 'ERR_OMNIBUS_STORE'].includes(error.code)
}
