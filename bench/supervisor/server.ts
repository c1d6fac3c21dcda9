/** One contestant at work, and what the system says of its processes. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { killMarked, MARK, marked } from '../../test/support/processes.ts'
import { freePort } from '../../test/support/ports.ts'
import { waitFor } from '../../test/support/wait.ts'
import type { Contestant, Wanted } from './contestants.ts'

export interface Server extends AsyncDisposable {
  readonly url: string
  /** From the start of the command to the first 200. */
  readonly firstAnswerMs: number
  /** Proportional set size of all its processes: shared pages count once. MiB. */
  pssMb(): number
  /** What all its processes that are alive have used. */
  cpuMs(): number
  /** Resolves when the command has ended, or the signal was sent. */
  reload(): Promise<void>
}

const TICK_MS = 10
/** Of all that this process has started. */
const RUN = `bench-${process.pid}-`
const FOLDERS = `omnibus-${RUN}`
const FIRST_MS = 60_000

/** Also where a signal ends this process: what it measures is in process groups of its own, and would go on. */
export function endContestantsAtExit(): void {
  process.once('exit', () => {
    killMarked(RUN)
    for (const name of readdirSync(tmpdir())) if (name.startsWith(FOLDERS)) rmSync(join(tmpdir(), name), { recursive: true })
  })
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const)
    process.once(signal, () => process.exit(128 + number))
}

export async function startServer(contestant: Contestant, wanted: Omit<Wanted, 'port' | 'folder'>): Promise<Server> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), FOLDERS))
  const recipe = contestant.recipe({ ...wanted, port, folder })
  const mark = `${RUN}${port}`
  const { NODE_OPTIONS: _, ...inherited } = process.env
  const env = { ...inherited, ...recipe.env, PORT: String(port), NODE_ENV: 'production', [MARK]: mark }
  const url = `http://127.0.0.1:${port}`
  const [program, ...args] = recipe.start
  let output = ''
  const began = performance.now()
  const child: ChildProcess = spawn(program, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output = (output + chunk).slice(-2_000)))
  try {
    await waitFor(() => isAnswering(url), { what: `${contestant.name} to answer`, deadlineMs: FIRST_MS, everyMs: 2 })
  } catch (error) {
    killMarked(mark)
    throw new Error(`${String(error)}\n${output}`)
  }
  const firstAnswerMs = performance.now() - began
  const all = (): number[] => marked(mark)
  return {
    url,
    firstAnswerMs,
    pssMb: () => all().reduce((sum, pid) => sum + pssKb(pid), 0) / 1024,
    cpuMs: () => all().reduce((sum, pid) => sum + cpuTicks(pid), 0) * TICK_MS,
    async reload() {
      if (typeof recipe.reload === 'string') return void child.kill(recipe.reload)
      const [command, ...rest] = recipe.reload
      await promisify(execFile)(command, rest, { cwd: folder, env: { ...env, [MARK]: `${mark}-command` } })
    },
    async [Symbol.asyncDispose]() {
      const exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined
      child.kill('SIGTERM')
      await Promise.race([exited, pause(5_000)])
      killMarked(mark)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Its workers, by the names they give themselves to new connections. */
export async function workersOf(url: string): Promise<Set<string>> {
  const asked = Array.from({ length: 16 }, () => get(`${url}/who`, 500).catch(() => ''))
  return new Set((await Promise.all(asked)).map((body) => /"worker": ?"([^"]+)"/.exec(body)?.[1] ?? '').filter(Boolean))
}

const isAnswering = (url: string): Promise<boolean> =>
  get(url, 1_000).then(
    () => true,
    () => false,
  )

/** The body of a 200, over a connection of its own. */
export function get(url: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { agent: false, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.on('error', reject)
      response.on('end', () => (response.statusCode === 200 ? resolve(body) : reject(new Error(`status ${response.statusCode}`))))
    })
    outgoing.on('error', reject)
    outgoing.end()
  })
}

/** See proc_pid_smaps_rollup of proc(5). */
function pssKb(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readProc(pid, 'smaps_rollup'))?.[1] ?? 0)
}

/** utime and stime, fields 14 and 15; what follows the command in parentheses begins with field 3. */
export function cpuTicks(pid: number): number {
  const stat = readProc(pid, 'stat')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}
