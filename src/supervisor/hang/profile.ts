/**
 * A CPU profile of a process whose event loop hangs, taken from outside. SIGUSR1 makes Node open its inspector, also in a loop that never
 * ends, at a port and a secret path that it writes to stderr alone; nothing of it is there before. A system call that blocks, or a
 * long computation in native code, keeps it shut.
 */
import { sleep, systemClock } from '../../core/clock.ts'
import type { CpuProfile } from './hottest.ts'

/** For the child's command line: any free port, and the path, by which alone one gets in, only to who reads its stderr. */
export const INSPECTOR_FLAGS = ['--inspect-port=0', '--inspect-publish-uid=stderr']

/** What Node writes of its inspector, which is not the app's. */
const CHATTER = /^(?:Debugger (?:listening on|attached|ending on)|For help, see: |Waiting for the debugger to disconnect).*\n/gm

export interface Inspected {
  /** Takes lines that it wrote to stderr, and leaves out those about the inspector, once that was asked for. */
  filter(lines: string): string
  /** To be called once. */
  look(pid: number): Look
}

export interface Look {
  /** Whether it lets itself be looked into; false at the latest after `ANSWER_MS`. */
  readonly opened: Promise<boolean>
  /** Undefined where it does not, or stops answering. */
  readonly profile: Promise<CpuProfile | undefined>
}

/** What a hang is doing is the same all the time. */
const PROFILE_MS = 150
/** For each step; what takes milliseconds on a machine with time to spare. */
const ANSWER_MS = 1_000
const INTERVAL_US = 1_000

export function inspected(): Inspected {
  const url = Promise.withResolvers<string>()
  let asked = false
  return {
    filter(lines) {
      if (!asked) return lines
      const [, found] = /^Debugger listening on (ws:\/\/127\.0\.0\.1:\S+)/m.exec(lines) ?? []
      if (found !== undefined) url.resolve(found)
      return lines.replace(CHATTER, '')
    },
    look(pid) {
      asked = true
      try {
        process.kill(pid, 'SIGUSR1')
      } catch {
        // It is gone.
      }
      const opened = within(ANSWER_MS, url.promise)
      return {
        opened: opened.then((found) => found !== undefined),
        profile: opened.then((found) => (found === undefined ? undefined : record(found))).catch(() => undefined),
      }
    },
  }
}

/** By the Chrome DevTools Protocol, domain `Profiler`. */
async function record(url: string): Promise<CpuProfile | undefined> {
  const socket = new WebSocket(url)
  const answers = new Map<number, (result: unknown) => void>()
  let ids = 0
  const opened = new Promise<boolean>((resolve) => {
    socket.addEventListener('open', () => resolve(true))
    for (const end of ['error', 'close'] as const) socket.addEventListener(end, () => resolve(false))
  })
  socket.addEventListener('message', ({ data }) => {
    const { id, result } = read(data)
    if (id !== undefined) answers.get(id)?.(result)
  })
  const call = (method: string, params: object = {}): Promise<unknown> => {
    const id = ++ids
    const answer = new Promise<unknown>((resolve) => answers.set(id, resolve))
    socket.send(JSON.stringify({ id, method, params }))
    return within(ANSWER_MS, answer)
  }
  try {
    if (!(await within(ANSWER_MS, opened))) return undefined
    await call('Profiler.enable')
    await call('Profiler.setSamplingInterval', { interval: INTERVAL_US })
    if ((await call('Profiler.start')) === undefined) return undefined
    await sleep(PROFILE_MS)
    return ((await call('Profiler.stop')) as { profile?: CpuProfile } | undefined)?.profile
  } finally {
    socket.close()
  }
}

/** What is no message of the inspector answers nothing: an app may have written its line, and be at the other end. */
function read(data: unknown): { readonly id?: number; readonly result?: unknown } {
  try {
    return (JSON.parse(String(data)) ?? {}) as { readonly id?: number }
  } catch {
    return {}
  }
}

/** Undefined where it takes longer. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const { promise: timeout, resolve } = Promise.withResolvers<undefined>()
  const timer = systemClock.after(ms, () => resolve(undefined))
  try {
    return await Promise.race([promise, timeout])
  } finally {
    timer.cancel()
  }
}
