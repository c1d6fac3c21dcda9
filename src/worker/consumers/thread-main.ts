/** Entry of a consumer thread. */
import { inspect } from 'node:util'
import { parentPort, workerData } from 'node:worker_threads'
import { ConfigError, messageOf } from '../../core/errors.ts'
import type { UnitStatus } from '../../supervisor/protocol.ts'
import { deadlineIn } from '../deadline.ts'
import { tellFailure } from '../failure.ts'
import { createLog } from '../log.ts'
import { openInstance, type Instance } from './runtime.ts'
import { THREAD_BEAT_MS, type FromThread, type ThreadData, type ToThread } from './thread-protocol.ts'

if (parentPort === null) throw new Error('thread-main is started by the consumers host, not by hand')
const port = parentPort
const { label, name, entry, logLevel } = workerData as ThreadData
const log = createLog(label)
log.setLevel(logLevel)

const say = (message: FromThread): void => port.postMessage(message)
const starting = new AbortController()
let instance: Instance | undefined
let status = (): UnitStatus => ({})

const fail = (error: unknown): void => {
  tellFailure(error)
  // Not logged here: what a thread writes goes through its host, and may not get there before the thread ends.
  say({ type: 'failed', message: messageOf(error), stack: inspect(error), config: error instanceof ConfigError })
  process.exit(1)
}

const stop = async (deadlineMs: number): Promise<void> => {
  starting.abort(new Error('stopped while starting'))
  const opened = await opening.catch(() => undefined)
  say({ type: 'stopped', cut: (await opened?.stop(deadlineIn(deadlineMs))) ?? [] })
  process.exit(0)
}

port.on('message', (message: ToThread) => {
  const done = message.type === 'stop' ? stop(message.deadlineMs) : instance?.activate()
  done?.catch(fail)
})
const beat = (): void => say({ type: 'beat', status: status() })
setInterval(beat, THREAD_BEAT_MS).unref()

const opening = openInstance({ name, entry, log, signal: starting.signal, report: (early) => void (status = early) })
try {
  instance = await opening
  status = instance.status
  beat()
  say({ type: 'ready' })
} catch (error) {
  if (!starting.signal.aborted) fail(error)
}
