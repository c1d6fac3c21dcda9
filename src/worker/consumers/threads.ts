/** The instances of a consumer as threads of this process: each watched, replaced when it crashes or hangs, stopped together. */
import { Worker } from 'node:worker_threads'
import type { ResolvedConfig, ResolvedRestart } from '../../config/types.ts'
import { systemClock } from '../../core/clock.ts'
import { WorkerError } from '../../core/errors.ts'
import type { UnitStatus } from '../../supervisor/protocol.ts'
import { unlessAborted, type Deadline } from '../deadline.ts'
import type { Log } from '../log.ts'
import type { Unit, UnitContext } from '../unit.ts'
import { shared } from './progress.ts'
import { startThread, type Thread, type ThreadEnd } from './thread.ts'

type ConsumerSettings = ResolvedConfig['consumers'][string]

/** One place in the pool; the thread in it changes. */
interface Slot {
  readonly label: string
  thread: Thread
  /** When its threads ended unasked, on the monotonic clock; only those within the window count. */
  crashes: number[]
}

/** Resolves when every thread is loaded and connected. Rejects when one cannot load: the others would not either. */
export async function startThreads(name: string, settings: ConsumerSettings, context: UnitContext): Promise<Unit> {
  const { log, signal, fail, report } = context
  let active = false
  let stopping = false

  const open = (label: string): Thread =>
    startThread(new Worker(threadUrl(), { name: label, workerData: { label, name, entry: settings.entry, logLevel: context.log.level } }), {
      startMs: settings.startTimeoutMs,
      silenceMs: settings.heartbeatTimeoutMs,
      onHang: (reason) => log.write('error', `${label} is terminated: ${reason}`),
      // Nothing can end a thread that is stuck in a system call, not even the exit of this process from within.
      onUnkillable: () => process.kill(process.pid, 'SIGKILL'),
    })

  const slots: readonly Slot[] = Array.from({ length: settings.instances }, (_, i) => {
    const label = `${name}.${i + 1}`
    return { label, thread: open(label), crashes: [] }
  })

  const status = (): UnitStatus => sum(slots.map(({ thread }) => thread.status))
  report(status)

  try {
    await unlessAborted(signal, Promise.all(slots.map(({ thread }) => thread.ready)))
  } catch (error) {
    await Promise.all(slots.map(({ thread }) => thread.terminate()))
    throw error
  }
  for (const slot of slots) watch(slot)

  /** Replaces the slot's thread whenever it ends, until it has ended too often. */
  function watch(slot: Slot): void {
    const { thread } = slot
    if (active) thread.activate()
    void thread.ended.then((end) => {
      if (stopping) return
      const delayMs = nextDelay(slot, settings.restart, log, end)
      if (delayMs === undefined) return fail(new WorkerError(`${slot.label} ended ${slot.crashes.length} times; last: ${end.reason}`))
      systemClock.after(delayMs, () => {
        if (stopping) return
        slot.thread = open(slot.label)
        watch(slot)
      })
    })
  }

  return {
    status,
    async activate() {
      active = true
      for (const { thread } of slots) thread.activate()
    },
    async stop(_reason, deadline: Deadline) {
      stopping = true
      const cut = await Promise.all(slots.map(({ thread }) => thread.stop(deadline)))
      return cut.flat()
    },
  }
}

// The extension of this very module: `.ts` from the sources, `.js` when built.
function threadUrl(): URL {
  return new URL(`./thread-main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)
}

/** How long to wait before the next thread; undefined when there were too many. */
function nextDelay(slot: Slot, restart: ResolvedRestart, log: Log, end: ThreadEnd): number | undefined {
  const now = systemClock.monotonic()
  slot.crashes = [...slot.crashes.filter((at) => now - at < restart.windowMs), now]
  const count = slot.crashes.length
  log.write('error', `${slot.label} ended: ${end.reason} (${count} of at most ${restart.maxCrashes} in ${restart.windowMs} ms)`, {
    error: end.error,
  })
  if (count >= restart.maxCrashes) return undefined
  const ceiling = Math.min(restart.maxMs, restart.minMs * 2 ** (count - 1))
  // Half fixed, half random: a restart is never at once, and never in step with others.
  return (ceiling / 2) * (1 + Math.random())
}

function sum(statuses: readonly UnitStatus[]): UnitStatus {
  return {
    connected: statuses.every(({ connected }) => connected === true),
    subscribed: statuses.every(({ subscribed }) => subscribed === true),
    single: statuses.some(({ single }) => single === true),
    ...shared(statuses),
  }
}
