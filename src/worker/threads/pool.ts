/** The threads of this process: each watched, replaced when it crashes or hangs, stopped together. */
import type { AddressInfo } from 'node:net'
import { totalmem } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { ResolvedRestart } from '../../config/unit.ts'
import { systemClock } from '../../core/clock.ts'
import { WorkerError } from '../../core/errors.ts'
import { hottest, placeOf } from '../../supervisor/hang/hottest.ts'
import { keepProfile } from '../../supervisor/hang/keep.ts'
import type { UnitStatus } from '../../supervisor/protocol.ts'
import { unlessAborted, type Deadline } from '../deadline.ts'
import type { Log } from '../log.ts'
import type { StartMessage, StopReason, UnitContext } from '../unit.ts'
import { newTally, type ThreadData, type ThreadRole } from './protocol.ts'
import { startThread, type Thread, type ThreadEnd } from './thread.ts'

export interface PoolOptions {
  readonly role: ThreadRole
  readonly size: number
  readonly settings: {
    readonly startTimeoutMs: number
    readonly heartbeatTimeoutMs: number
    /** MiB; 0 is a share of the memory there is. */
    readonly threadHeapMb: number
    readonly restart: ResolvedRestart
  }
  readonly message: StartMessage
  readonly address?: AddressInfo
  /** What the threads tell, as one. */
  readonly merge: (statuses: readonly UnitStatus[]) => UnitStatus
}

export interface Pool {
  /** One in each place, whatever its state. */
  readonly threads: readonly Thread[]
  readonly status: () => UnitStatus
  /** Of consumers: each subscribes, also those that come later. */
  activate(): void
  /** Resolves by the deadline with what had to be cut off; no thread is left then. */
  stop(reason: StopReason, deadline: Deadline): Promise<readonly string[]>
}

/** One place in the pool; the thread in it changes. */
interface Slot {
  readonly label: string
  thread: Thread
  /** When its threads ended unasked, on the monotonic clock; only those within the window count. */
  crashes: number[]
}

// Of the memory there is, for all heaps together: the rest is for what lies outside of them, buffers above all.
const HEAP_SHARE = 0.75
// Below it hardly any program starts; above it V8's pointers are not compressed, but its pauses are long. MiB.
const LEAST_HEAP_MB = 64
const MOST_HEAP_MB = 4096

/** Resolves when every thread is ready. Rejects when one cannot start: the others would not either. */
export async function openPool(options: PoolOptions, { log, signal, fail, report, preloaded }: UnitContext): Promise<Pool> {
  const { role, size, settings, message, address } = options
  const maxOldGenerationSizeMb = settings.threadHeapMb || defaultHeapMb(size)
  let active = false
  let stopping = false

  const open = (label: string): Thread => {
    const workerData: ThreadData = { role, label, message, preloaded, address, tally: newTally() }
    const worker = new Worker(threadUrl(), { name: label, workerData, resourceLimits: { maxOldGenerationSizeMb } })
    return startThread(worker, workerData.tally, {
      startMs: settings.startTimeoutMs,
      silenceMs: settings.heartbeatTimeoutMs,
      onHang(reason, profile) {
        const hot = profile && hottest(profile)
        const kept = profile && keepProfile(message.config.root, label, profile)
        const where = hot ? placeOf(hot) : ''
        log.write('error', `${label} is terminated: ${reason}${where}${kept?.text ?? ''}`, { ...hot, ...kept?.details })
      },
      // Nothing can end a thread that is stuck in a system call, not even the exit of this process from within.
      onUnkillable: () => process.kill(process.pid, 'SIGKILL'),
    })
  }

  const slots: readonly Slot[] = Array.from({ length: size }, (_, i) => {
    const label = `${message.unit}.${i + 1}`
    return { label, thread: open(label), crashes: [] }
  })
  const status = (): UnitStatus => ({
    ...options.merge(slots.map(({ thread }) => thread.status)),
    threads: slots.filter(({ thread }) => thread.usable).length,
  })
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
    get threads() {
      return slots.map(({ thread }) => thread)
    },
    status,
    activate() {
      active = true
      for (const { thread } of slots) thread.activate()
    },
    async stop(reason, deadline) {
      stopping = true
      const cut = await Promise.all(slots.map(({ thread }) => thread.stop(reason, deadline)))
      return cut.flat()
    },
  }
}

// The extension of this very module: `.ts` from the sources, `.js` when built.
function threadUrl(): URL {
  return new URL(`./main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)
}

function defaultHeapMb(threads: number): number {
  // 0 or an absurd number where no control group limits it.
  const limit = process.constrainedMemory()
  const bytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem()
  return Math.round(Math.min(MOST_HEAP_MB, Math.max(LEAST_HEAP_MB, (bytes * HEAP_SHARE) / 2 ** 20 / threads)))
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
