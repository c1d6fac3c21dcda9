/** A command in any language as a child of the state machine: it speaks no protocol, so this speaks it in its place. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import type { ResolvedCommand } from '../../config/command.ts'
import type { ReadyWhen } from '../../config/exec.ts'
import { followGroup, type Process, type ProcessOptions, unstartable } from '../processes.ts'
import type { FromChild } from '../protocol.ts'
import type { Surroundings } from '../surroundings.ts'
import { readLines } from './output.ts'
import { pause, untilReady } from './ready.ts'

export interface CommandSpec extends ResolvedCommand {
  /** `exit`: it is no unit but a step, which is over when it has ended. */
  readonly ready: ReadyWhen | 'exit'
  readonly stopSignal: NodeJS.Signals
}

export interface CommandRequest extends Omit<Surroundings, 'cwd'> {
  readonly spec: CommandSpec
}

export interface CommandOptions extends Pick<ProcessOptions, 'guard' | 'onExit'> {
  /** What a worker would say in its place. */
  readonly onMessage: (message: FromChild) => void
  /** Takes a line it wrote; the next is not read before this is done. */
  readonly write: (line: string, pid: number) => void | Promise<void>
}

const BEAT_MS = 1_000
/** Of what it wrote last, told with its end. */
const TAIL_LINES = 20

export function startCommand({ spec, uid, gid, env }: CommandRequest, options: CommandOptions): Process {
  const [program = '', ...args] = spec.command
  let child: ChildProcess
  try {
    child = spawn(program, args, {
      uid,
      gid,
      cwd: spec.cwd,
      detached: true,
      env: { ...env, ...spec.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  } catch (error) {
    return unstartable(error, options.onExit)
  }
  const { pid = 0 } = child
  const over = new AbortController()
  const listeners = new Set<(line: string) => void>()
  const tail: string[] = []
  const group = followGroup(child, {
    guard: options.guard,
    onExit: (exit) => {
      over.abort()
      options.onExit({ ...exit, output: tail.join('\n') })
    },
  })
  const onLine = (line: string): void | Promise<void> => {
    tail.push(line)
    if (tail.length > TAIL_LINES) tail.shift()
    for (const listener of listeners) listener(line)
    return options.write(line, pid)
  }
  for (const stream of [child.stdout, child.stderr]) if (stream) void readLines(stream, onLine)

  const begin = async (): Promise<void> => {
    if (spec.ready === 'exit') return
    const ready = await untilReady(spec.ready, { signal: over.signal, onLine: (listener) => void listeners.add(listener) })
    listeners.clear()
    if (!ready) return
    options.onMessage({ type: 'ready' })
    while (!over.signal.aborted) {
      const memoryMb = await memoryOf(pid)
      if (!over.signal.aborted) options.onMessage({ type: 'beat', status: memoryMb === undefined ? {} : { memoryMb } })
      await pause(BEAT_MS, over.signal)
    }
  }

  return {
    pid: child.pid,
    send(message) {
      if (message.type === 'start') void begin()
      if (message.type === 'stop') child.kill(spec.stopSignal)
    },
    kill: () => group.kill(),
  }
}

/** Resident, MiB; undefined where there is no /proc. */
async function memoryOf(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? []
  return kib === undefined ? undefined : Math.round(Number(kib) / 1024)
}
