/** Programs under test: started, listened to, signalled, and gone when the test is over, whatever they started themselves. */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { killMarked, MARK, marked } from './processes.ts'
import { runName, tempDir } from './run-folder.ts'
import { waitFor, within } from './wait.ts'

export interface RunOptions {
  /** @default a new empty folder */
  cwd?: string
  /** Added to a small clean environment: nothing of the test runner's own reaches the program but PATH, HOME and the like. */
  env?: Record<string, string | undefined>
  /** Names its log in the run's folder. @default the command */
  label?: string
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Running extends AsyncDisposable {
  readonly pid: number
  readonly cwd: string
  /** Everything it and its children have written so far, both streams, by line. */
  readonly lines: readonly string[]
  /** Waits for a line, also among those already written; `from` skips the first so many. */
  line(pattern: RegExp | string, options?: { deadlineMs?: number; from?: number }): Promise<string>
  /** To the process itself, not to its children. */
  signal(signal: NodeJS.Signals): void
  /** To its process group, as a terminal's ^C does. */
  signalGroup(signal: NodeJS.Signals): void
  /** Waits for its end; its children, and so its output, may outlive it. */
  exit(options?: { deadlineMs?: number }): Promise<Exit>
  /** It and all its living descendants, also those that were reparented or have a session of their own. */
  processes(): number[]
}

const INHERITED = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TMPDIR', 'TZ', 'USER']

/** Starts a program. Hold it with `await using`, or dispose of it in `afterAll`. */
export function run(command: string, args: readonly string[] = [], options: RunOptions = {}): Running {
  const { cwd = tempDir('run'), label = command.split('/').at(-1) ?? command } = options
  const mark = `${runName()}/${randomUUID()}`
  const env = { ...Object.fromEntries(INHERITED.map((name) => [name, process.env[name]])), ...options.env, [MARK]: mark }
  const child = spawn(command, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let exit: Exit | undefined
  let failure: Error | undefined
  let written = false
  const ended = new Promise<Exit>((resolve, reject) => {
    child.once('exit', (code, signal) => resolve((exit = { code, signal })))
    child.once('error', (error) => reject((failure = error)))
  })
  ended.catch(() => undefined)
  child.once('close', () => (written = true))
  const lines = collect([child.stdout, child.stderr], join(tempDir('log'), `${label}.log`))
  const withOutput = (error: unknown): never => {
    throw new Error(`${label}: ${String(error)}\n--- its last lines:\n${lines.slice(-40).join('\n')}\n---`)
  }
  const killAll = (): void => killMarked(mark)
  process.once('exit', killAll)

  return {
    pid: child.pid ?? 0,
    cwd,
    lines,
    async line(pattern, { deadlineMs = 30_000, from = 0 } = {}) {
      const fits = (line: string): boolean => (typeof pattern === 'string' ? line.includes(pattern) : pattern.test(line))
      const found = (): number => lines.findIndex((line, index) => index >= from && fits(line))
      const outcome = (): boolean => found() >= 0 || written || failure !== undefined
      await waitFor(outcome, { what: `the line ${pattern}`, deadlineMs }).catch(withOutput)
      return lines[found()] ?? withOutput(failure ?? `ended (${exit?.code ?? exit?.signal}) without writing ${pattern}`)
    },
    signal: (signal) => void child.kill(signal),
    signalGroup: (signal) => void (child.pid !== undefined && process.kill(-child.pid, signal)),
    exit: ({ deadlineMs = 40_000 } = {}) => within(ended, { what: 'its end', deadlineMs }).catch(withOutput),
    processes: () => marked(mark),
    async [Symbol.asyncDispose]() {
      process.removeListener('exit', killAll)
      killAll()
      if (failure === undefined) await waitFor(() => written, { what: `${label}'s output to end` })
    },
  }
}

/** Runs a tool to its end and resolves with all it wrote. */
export async function runToEnd(
  command: string,
  args: readonly string[] = [],
  options: RunOptions = {},
): Promise<Exit & { output: string }> {
  const running = run(command, args, options)
  try {
    const exit = await running.exit({ deadlineMs: 120_000 })
    // Its last lines may still be in the pipe.
    await running[Symbol.asyncDispose]()
    return { ...exit, output: running.lines.join('\n') }
  } finally {
    await running[Symbol.asyncDispose]()
  }
}

function collect(streams: readonly (Readable | null)[], file: string): string[] {
  const lines: string[] = []
  const log = createWriteStream(file)
  for (const stream of streams) {
    if (stream === null) continue
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      log.write(`${line}\n`)
    })
  }
  return lines
}
