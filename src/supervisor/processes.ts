/** Real processes behind the state machine's children. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import type { Guard } from './guard.ts'
import { INSPECTOR_FLAGS, inspected, type Look } from './hang/profile.ts'
import type { FromChild, Role, ToChild } from './protocol.ts'
import { passLines } from './stderr.ts'
import type { Surroundings } from './surroundings.ts'

/** Where a web worker finds the first listening socket: after stdio and the IPC channel. */
const LISTEN_FD = 4

export interface SpawnRequest extends Surroundings {
  readonly role: Role
  readonly label: string
  readonly listenFds: readonly number[]
  /** A module to be loaded before all else, in its threads too. */
  readonly preload?: string | undefined
}

export interface ProcessOptions {
  /** `worker/main.ts` or `.js`. */
  readonly workerScript: string
  readonly guard: Guard
  /** Absent: children write to the master's own stdout, which costs nothing. */
  readonly onLine?: ((label: string, line: string) => void) | undefined
  /** Takes whole lines of stderr, where there is no `onLine`. No more are read before this is done. */
  readonly onErrors: (lines: string) => void | Promise<void>
  /** `label` is what it is called at the time. */
  readonly onMessage: (message: FromChild, label: string) => void
  /** Once, when it is gone, or could not be started; all it sent and wrote has arrived before. */
  readonly onExit: (exit: ProcessEnd) => void
}

export interface ProcessEnd {
  readonly code: number | null
  readonly signal: string | null
  /** It could not even be started. */
  readonly error?: string
  /** The last words of Node itself, such as that the heap is full. */
  readonly fatal?: string
  /** Of a command: what it wrote last. */
  readonly output?: string
}

export interface Process {
  readonly pid: number | undefined
  send(message: ToChild): void
  /** Looks into it while it does not answer; once. Absent where it is no process of Node's. */
  readonly look?: () => Look
  /** SIGKILL to the process and all that stayed in its process group. */
  kill(): void
}

/** `FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory` */
const FATAL = /^FATAL ERROR: (.+)/m
/** What was written last may still be in a pipe that a process outside the group keeps open. */
const LAST_OUTPUT_MS = 500

export function startProcess(request: SpawnRequest, options: ProcessOptions): Process {
  const { role, uid, gid, cwd, env, listenFds, preload } = request
  let { label } = request
  const places = listenFds.map((_, index) => LISTEN_FD + index)
  const args = [
    ...process.execArgv.filter((flag) => !flag.startsWith('--inspect')),
    ...INSPECTOR_FLAGS,
    ...(preload === undefined ? [] : [`--import=${pathToFileURL(preload).href}`]),
    options.workerScript,
    role,
  ]
  let child: ChildProcess
  try {
    // A process group of its own: a terminal's Ctrl-C reaches the master alone, and the child's own children can be killed with it.
    child = spawn(process.execPath, args, {
      detached: true,
      uid,
      gid,
      cwd,
      env,
      stdio: ['ignore', options.onLine ? 'pipe' : 'inherit', 'pipe', 'ipc', ...listenFds],
    })
  } catch (error) {
    return unstartable(error, options.onExit)
  }
  const { pid } = child
  const inspector = inspected()
  let fatal: string | undefined
  const group = followGroup(child, { ...options, onExit: (exit) => options.onExit({ ...exit, ...(fatal !== undefined && { fatal }) }) })
  child.on('message', (message) => {
    const known = readMessage(message)
    if (known && !group.over) options.onMessage(known, label)
  })
  const { onLine, onErrors } = options
  if (child.stdout) createInterface({ input: child.stdout }).on('line', (line) => onLine?.(label, line))
  const passOn = (text: string): void | Promise<void> => {
    fatal = FATAL.exec(text)?.[1] ?? fatal
    const lines = inspector.filter(text)
    if (lines === '') return
    if (!onLine) return onErrors(lines)
    for (const line of lines.replace(/\n$/, '').split(/\r?\n/)) onLine(label, line)
  }
  if (child.stderr) void passLines(child.stderr, passOn)
  return {
    pid,
    send(message) {
      // The child that read the config becomes the hook host.
      if (message.type === 'start') label = message.unit
      // A failure means that it is going, which `exit` tells.
      const whole = message.type === 'start' && places.length > 0 ? { ...message, listenFds: places } : message
      if (child.connected) child.send(whole, () => {})
    },
    ...(pid !== undefined && { look: () => inspector.look(pid) }),
    kill: () => group.kill(),
  }
}

export interface Group {
  /** Its end has been told. */
  readonly over: boolean
  /** SIGKILL to the process and all that stayed in its process group. */
  kill(): void
}

/** Follows a process that leads a group of its own: its end is told once, and nothing of the group outlives it. */
export function followGroup(child: ChildProcess, { guard, onExit }: Pick<ProcessOptions, 'guard' | 'onExit'>): Group {
  const { pid } = child
  if (pid !== undefined) guard.add(pid)
  let over = false
  const finish = (exit: ProcessEnd): void => {
    if (over) return
    over = true
    onExit(exit)
  }
  child.once('error', (error) => child.pid === undefined && finish({ code: null, signal: null, error: error.message }))
  child.once('exit', (code, signal) => {
    // What it started must not outlive it: nobody would know of it any more.
    killGroup(pid)
    if (pid !== undefined) guard.remove(pid)
    const late = setTimeout(() => finish({ code, signal }), LAST_OUTPUT_MS)
    child.once('close', () => {
      clearTimeout(late)
      finish({ code, signal })
    })
  })
  return {
    get over() {
      return over
    },
    kill: () => over || killGroup(pid),
  }
}

export function unstartable(error: unknown, onExit: ProcessOptions['onExit']): Process {
  queueMicrotask(() => onExit({ code: null, signal: null, error: String(error) }))
  return { pid: undefined, send() {}, kill() {} }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // ESRCH: nothing is left of it.
  }
}

/** User code in a child may send messages of its own (`process.send('ready')` is customary elsewhere): those are not for us. */
function readMessage(message: unknown): FromChild | undefined {
  if (typeof message !== 'object' || message === null || !('type' in message)) return undefined
  const known: readonly unknown[] = [
    'loaded',
    'failed',
    'ready',
    'hooked',
    'beat',
    'output',
    'modules',
    'fault',
  ] satisfies FromChild['type'][]
  return known.includes(message.type) ? (message as FromChild) : undefined
}
