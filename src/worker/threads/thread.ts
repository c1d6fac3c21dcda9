/** The host's handle on one thread. */
import type { Socket } from 'node:net'
import type { Transferable, Worker } from 'node:worker_threads'
import { sleep } from '../../core/clock.ts'
import { ConfigError, messageOf, WorkerError } from '../../core/errors.ts'
import type { CpuProfile } from '../../supervisor/hang/hottest.ts'
import type { UnitStatus } from '../../supervisor/protocol.ts'
import { within, type Deadline } from '../deadline.ts'
import type { StopReason } from '../unit.ts'
import { THREAD_BEAT_MS, type FromThread, type ToThread } from './protocol.ts'

export interface ThreadEnd {
  readonly reason: string
  /** What it threw, where it did. */
  readonly error?: unknown
}

export interface Thread {
  /** As of its last beat. */
  readonly status: UnitStatus
  /** As its role says. Rejects with `WorkerError` when it ends before. */
  readonly ready: Promise<void>
  readonly ended: Promise<ThreadEnd>
  /** It is ready, and neither ends nor was asked to. */
  readonly usable: boolean
  /** What it counts, see `TALLY`. */
  readonly tally: Int32Array
  send(message: ToThread, moved?: readonly Socket[]): void
  /** Subscribes, now or as soon as it is ready. May be called twice. */
  activate(): void
  /** Resolves by the deadline with what had to be cut off; the thread is gone then. */
  stop(reason: StopReason, deadline: Deadline): Promise<readonly string[]>
  terminate(): Promise<void>
}

export interface ThreadOptions {
  /** Its entry must be loaded by then. Loading blocks the event loop, so silence means nothing before. Milliseconds. */
  readonly startMs: number
  /** Longest its event loop may be silent after that; 0 is for ever. Milliseconds. */
  readonly silenceMs: number
  /** It is about to be terminated, and why; with what it does, where that can be told. */
  readonly onHang: (reason: string, profile: CpuProfile | undefined) => void
  /** It does not end even when terminated. */
  readonly onUnkillable: () => void
}

// Terminating takes milliseconds; what takes longer never ends.
const TERMINATE_MS = 5_000
// What a hang is doing is the same all the time.
const PROFILE_MS = 150
// A system call that blocks lets no profile begin, or end.
const PROFILE_LIMIT_MS = 1_000

export function startThread(worker: Worker, tally: Int32Array, options: ThreadOptions): Thread {
  const ready = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<ThreadEnd>()
  ready.promise.catch(() => {})
  let status: UnitStatus = {}
  let reason: string | undefined
  let failure: Error | undefined
  let cut: readonly string[] | undefined
  let loaded = false
  let usable = false
  let silentChecks = 0
  let activated: Promise<void> | undefined

  // Node's types do not know yet that it moves sockets.
  const send = (message: ToThread, moved: readonly Socket[] = []): void =>
    worker.postMessage(message, moved as readonly unknown[] as readonly Transferable[])

  const terminate = async (): Promise<void> => {
    usable = false
    if (!(await within(TERMINATE_MS, worker.terminate()))) options.onUnkillable()
  }

  worker.on('message', (message: FromThread) => {
    if (message.type === 'beat') status = message.status
    // A connection is told of once the entry is loaded.
    loaded ||= message.type === 'ready' || status.connected !== undefined
    if (loaded) silentChecks = 0
    if (message.type === 'beat') return
    if (message.type === 'ready') {
      usable = true
      ready.resolve()
    } else if (message.type === 'stopped') cut = message.cut
    else {
      reason = message.message
      failure = asError(message)
    }
  })
  worker.on('error', (error) => {
    reason = messageOf(error)
    failure = new WorkerError(`uncaught: ${reason}`, { cause: error })
  })
  worker.on('exit', (code) => {
    clearInterval(check)
    usable = false
    status = {}
    reason ??= `exit code ${code}`
    ready.reject(failure ?? new WorkerError(reason))
    ended.resolve({ reason, error: failure?.cause ?? failure })
  })

  // Counted in checks of this loop instead of by the clock: after a suspended machine or a stopped process wakes, neither
  // side has run, and no thread is to blame.
  const check = setInterval(() => {
    silentChecks += 1
    const limitMs = loaded ? options.silenceMs : options.startMs
    if (limitMs === 0 || silentChecks * THREAD_BEAT_MS < limitMs) return
    clearInterval(check)
    usable = false
    reason = loaded ? `its event loop was silent for ${limitMs} ms` : `its entry was not loaded within ${limitMs} ms`
    void end(reason)
  }, THREAD_BEAT_MS)

  const end = async (why: string): Promise<void> => {
    options.onHang(why, await profileOf(worker))
    await terminate()
  }

  return {
    get status() {
      return status
    },
    ready: ready.promise,
    ended: ended.promise,
    get usable() {
      return usable
    },
    tally,
    send,
    activate() {
      // Once it is ready, and once: what came before would find nothing to activate.
      activated ??= ready.promise.then(
        () => send({ type: 'activate' }),
        () => {},
      )
    },
    async stop(reason, deadline) {
      clearInterval(check)
      usable = false
      const deadlineMs = deadline.leaving(0.05).remainingMs()
      send({ type: 'stop', reason, deadlineMs })
      if (await within(deadline.leaving(0.02).remainingMs(), ended.promise)) return cut ?? []
      const { inFlight = 0 } = status
      await terminate()
      return [`a thread with ${inFlight} in flight`]
    },
    terminate,
  }
}

/** By an interrupt, which a loop hears as well. */
async function profileOf(worker: Worker): Promise<CpuProfile | undefined> {
  let profile: CpuProfile | undefined
  const record = async (): Promise<void> => {
    const handle = await worker.startCpuProfile()
    await sleep(PROFILE_MS)
    profile = JSON.parse(await handle.stop()) as CpuProfile
  }
  // It may end meanwhile.
  await within(
    PROFILE_LIMIT_MS,
    record().catch(() => {}),
  )
  return profile
}

/** The thread's error came over as text. */
function asError({ message, stack, config }: Extract<FromThread, { type: 'failed' }>): Error {
  const error = config ? new ConfigError('', []) : new WorkerError(message)
  return Object.assign(error, { message, stack })
}
