/** What a master hands to the one that replaces it: its sockets, by descriptor, and a line that tells each of the other. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Event } from './events.ts'
import { type Bound, holdSocket } from './listen.ts'

/** In the environment of the second master, and nowhere else. */
const VARIABLE = 'OMNIBUS_TAKEOVER'
const LINE_FD = 3
/** Init programs that end with the process they started, and so with the first master. */
const ENDING_INITS = ['tini', 'docker-init', 'dumb-init', 'catatonit']

interface Handed {
  readonly pid: number
  readonly sockets: Readonly<Record<string, { readonly fd: number; readonly url: string }>>
  /** Addresses that a service manager has bound, in place of those configured. */
  readonly activated: readonly string[]
}

export interface Predecessor extends Pick<Handed, 'pid' | 'activated'> {
  readonly sockets: ReadonlyMap<string, Bound>
  /** Tells it that this master serves. */
  tellReady(): void
  onGone(listener: () => void): void
}

export interface Successor {
  /** Hears no more of it; it goes on. */
  release(): void
}

type SuccessorEvent = Extract<Event, { type: 'successor' }>

export interface SuccessorOptions {
  /** By the names under which the second master asks for them. */
  readonly sockets: ReadonlyMap<string, Bound>
  readonly activated: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** The last one, once, is that it is gone; also where it could not be started. */
  readonly onEvent: (event: SuccessorEvent) => void
}

/** Runs the command of this process again, with the code that is on disk now. */
export function startSuccessor({ sockets, activated, env, onEvent }: SuccessorOptions): Successor {
  const entries = [...sockets].map(([name, { url }], index) => [name, { fd: LINE_FD + 1 + index, url }] as const)
  const handed: Handed = { pid: process.pid, sockets: Object.fromEntries(entries), activated }
  const args = [...process.execArgv.filter((flag) => !flag.startsWith('--inspect')), ...process.argv.slice(1)]
  const child = spawn(process.execPath, args, {
    env: { ...env, [VARIABLE]: JSON.stringify(handed) },
    stdio: ['inherit', 'inherit', 'inherit', 'pipe', ...[...sockets.values()].map(({ fd }) => fd)],
  })
  const onGone = (how: string): void => onEvent({ type: 'successor', is: 'gone', how })
  const line = child.stdio[LINE_FD]
  line?.on('error', () => {})
  line?.once('data', () => onEvent({ type: 'successor', is: 'ready' }))
  child.once('error', (error) => child.pid === undefined && onGone(`could not be started: ${error.message}`))
  child.once('exit', (code, signal) => onGone(signal === null ? `ended with code ${code}` : `was killed by ${signal}`))
  if (child.pid !== undefined) onEvent({ type: 'successor', is: 'started', pid: child.pid })
  return {
    release() {
      child.removeAllListeners('exit')
      child.unref()
      line?.destroy()
    },
  }
}

/** Undefined where this master was not started by another. */
export function takePredecessor(env: NodeJS.ProcessEnv): Predecessor | undefined {
  const text = env[VARIABLE]
  delete env[VARIABLE]
  if (text === undefined) return undefined
  const { pid, sockets, activated } = JSON.parse(text) as Handed
  // Whatever way the other one ends, the kernel closes its end.
  const line = new Socket({ fd: LINE_FD, readable: true, writable: true })
  line.on('error', () => {})
  line.resume()
  line.unref()
  return {
    pid,
    activated,
    sockets: new Map(Object.entries(sockets).map(([name, socket]) => [name, holdSocket(socket)])),
    tellReady: () => void line.write('ready\n'),
    onGone: (listener) => void line.once('close', listener),
  }
}

/** Why no second master could outlive this one, if so. */
export function whyNoSuccessor(): string | undefined {
  if (process.pid === 1) return 'this is PID 1, and the container would end with it: reload, or start another container'
  if (process.ppid !== 1) return undefined
  try {
    const [name = ''] = readFileSync('/proc/1/comm', 'utf8').split('\n')
    const isOwn = readFileSync('/proc/1/cmdline', 'utf8').includes('omnibus-init')
    if (isOwn || ENDING_INITS.includes(name)) return 'the container would end with this one: reload, or start another container'
  } catch {
    // No /proc: no container either.
  }
  return undefined
}
