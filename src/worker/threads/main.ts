/** Entry of a thread. */
import { enableCompileCache, flushCompileCache } from 'node:module'
import type { Socket } from 'node:net'
import { inspect } from 'node:util'
import { parentPort, workerData } from 'node:worker_threads'
import { ConfigError, messageOf, MissingPeerError } from '../../core/errors.ts'
import type { UnitStatus } from '../../supervisor/protocol.ts'
import { deadlineIn } from '../deadline.ts'
import { tellFailure } from '../failure.ts'
import { createLog } from '../log.ts'
import type { StopReason, Unit, UnitContext } from '../unit.ts'
import { openHooks } from '../worker-hooks.ts'
import { TALLY, THREAD_BEAT_MS, type FromThread, type ThreadData, type ThreadRole, type ToThread } from './protocol.ts'

enableCompileCache()

if (parentPort === null) throw new Error('threads/main is started by a host process, not by hand')
const port = parentPort
const { role, label, message: start, preloaded, address, tally } = workerData as ThreadData
const log = createLog(label)
log.setLevel(start.config.logLevel)

// Imported on demand: a web worker must not pay for the bus.
const roles: Readonly<Record<ThreadRole, (context: UnitContext) => Promise<Unit>>> = {
  consumers: async (context) => (await import('../consumers/runtime.ts')).openConsumer(start, context),
  web: async (context) => (await import('../web/worker.ts')).openWeb(start, context, address),
}

const say = (message: FromThread): void => port.postMessage(message)
const starting = new AbortController()
let unit: Unit | undefined
let status = (): UnitStatus => ({})

const fail = (error: unknown): void => {
  tellFailure(error)
  // Not logged here: what a thread writes goes through its host, and may not get there before the thread ends.
  say({
    type: 'failed',
    message: messageOf(error),
    stack: inspect(error),
    config: error instanceof ConfigError || error instanceof MissingPeerError,
  })
  process.exit(1)
}

const stop = async (reason: StopReason, deadlineMs: number): Promise<void> => {
  const deadline = deadlineIn(deadlineMs)
  starting.abort(new Error('stopped while starting'))
  const opened = await opening.catch(() => undefined)
  say({ type: 'stopped', cut: (await opened?.stop(reason, deadline)) ?? [] })
  process.exit(0)
}

const take = (socket: Socket): void => {
  Atomics.add(tally, TALLY.arrived, 1)
  socket.once('close', () => Atomics.add(tally, TALLY.closed, 1))
  unit?.accept?.(socket)
}

port.on('message', (message: ToThread) => {
  if (message.type === 'connection') return take(message.socket)
  const done = message.type === 'stop' ? stop(message.reason, message.deadlineMs) : unit?.activate?.()
  done?.catch(fail)
})
const beat = (): void => say({ type: 'beat', status: status() })
setInterval(beat, THREAD_BEAT_MS).unref()

const context: Omit<UnitContext, 'hooks'> = {
  log,
  channel: port,
  fail,
  signal: starting.signal,
  report: (early) => void (status = early),
  preloaded,
}
const open = async (): Promise<Unit> => roles[role]({ ...context, hooks: await openHooks({ ...start, unit: label }, log) })
const opening = open()
try {
  unit = await opening
  status = unit.status
  beat()
  say({ type: 'ready' })
  flushCompileCache()
} catch (error) {
  if (!starting.signal.aborted) fail(error)
}
