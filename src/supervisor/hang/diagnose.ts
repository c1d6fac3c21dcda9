/** What a process that no longer answers is doing, told from outside: it is about to be killed and can say nothing itself. */
import { open, readFile } from 'node:fs/promises'
import { sleep } from '../../core/clock.ts'
import { type CpuProfile, type Hottest, hottest, placeOf } from './hottest.ts'
import type { Look } from './profile.ts'

export interface Diagnosis {
  /** What follows "It is". */
  readonly text: string
  /** For the log. */
  readonly details: Details & Partial<Hottest>
  readonly profile?: CpuProfile
}

interface Details {
  /** R running, S sleeping, D in the kernel, T stopped; as in proc(5). */
  readonly state: string
  /** Share of one CPU it used while it was watched, in percent: near 100 is a loop, near 0 a blocking call. */
  readonly cpuPercent: number
  readonly rssMb: number
  /** The kernel function it sleeps in, where the system tells. */
  readonly waitsIn?: string
  /** The file it is about to open. */
  readonly opens?: string
  /** Command lines of its children. */
  readonly runs?: readonly string[]
}

const WATCH_MS = 200
/** For an inspector to open that is about to. */
const SOON_MS = 200
/** USER_HZ, in which /proc counts; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100
/** Number of the system call openat(2). */
const OPENAT: Partial<Record<NodeJS.Architecture, number>> = { x64: 257, arm64: 56 }
const MOST_PATH = 4_096
const MOST_COMMAND = 200

/** `look` looks into it where it is of our own. Undefined where there is no /proc, or no such process any more. */
export async function diagnose(pid: number, look?: () => Look): Promise<Diagnosis | undefined> {
  try {
    // Being profiled makes it run.
    const before = await sample(pid)
    const looking = look?.()
    const details = await watch(pid, before)
    // A system call that blocks would keep us waiting for nothing.
    const isDeaf = looking !== undefined && isBlocked(details) && !(await Promise.race([looking.opened, sleep(SOON_MS)]))
    const profile = isDeaf ? undefined : await looking?.profile
    const hot = profile && hottest(profile)
    const text = describe(details, looking && (hot ?? 'deaf'))
    return { text, details: { ...details, ...hot }, ...(profile && { profile }) }
  } catch {
    return undefined
  }
}

/** `deaf`: not even its JavaScript engine answers. */
function describe({ state, cpuPercent, waitsIn, opens, runs }: Details, hot: Hottest | 'deaf' | undefined): string {
  const where = hot === undefined || hot === 'deaf' ? '' : placeOf(hot)
  if (state === 'T' || state === 't') return 'stopped by a signal or a debugger'
  // On a busy machine a loop gets little of the CPU, but it always wants it.
  if (cpuPercent >= 30 || state === 'R')
    return `running without a pause (${cpuPercent} % of a CPU): a loop, or one very long computation${where}`
  if (where !== '') return `waiting${where}`
  if (opens !== undefined) return `waiting for ${opens} to open`
  // Node waits for a program in a second loop, in which it hears nothing else.
  if (hot === 'deaf' && runs && waitsIn?.includes('epoll')) return `waiting for a program to end that it has started: ${runs.join('; ')}`
  // It has answered, and had nothing to do.
  if (hot !== 'deaf' && (hot || waitsIn?.includes('epoll'))) return 'idle in its event loop: what it waits for does not come'
  return `waiting in a blocking call${waitsIn === undefined ? '' : ` (${waitsIn})`}`
}

/** Neither at work nor in `Atomics.wait`, which can be interrupted. */
const isBlocked = ({ state, cpuPercent, waitsIn = '' }: Details): boolean => state !== 'R' && cpuPercent < 10 && !waitsIn.includes('futex')

async function watch(pid: number, before: Sample): Promise<Details> {
  await sleep(WATCH_MS)
  const after = await sample(pid)
  const waitsIn = await readProc(pid, 'wchan')
  const opens = await openedBy(pid).catch(() => undefined)
  const children = (await readProc(pid, `task/${pid}/children`)).split(' ').filter(Boolean)
  const runs = await Promise.all(children.map((child) => readProc(Number(child), 'cmdline')))
  const seconds = (after.ticks - before.ticks) / TICKS_PER_SECOND
  return {
    state: before.state,
    cpuPercent: Math.round((seconds / (WATCH_MS / 1000)) * 100),
    rssMb: after.rssMb,
    ...(waitsIn !== '' && waitsIn !== '0' && { waitsIn }),
    ...(opens !== undefined && { opens }),
    ...(runs.length > 0 && { runs: runs.map((line) => line.replaceAll('\0', ' ').trim().slice(0, MOST_COMMAND)) }),
  }
}

interface Sample {
  readonly state: string
  readonly ticks: number
  readonly rssMb: number
}

async function sample(pid: number): Promise<Sample> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  // After the command in parentheses, which may hold anything: state is field 3, utime 14, stime 15, rss 24 (in pages).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const field = (number: number): number => Number(fields[number - 3])
  return { state: fields[0] ?? '?', ticks: field(14) + field(15), rssMb: Math.round((field(24) * 4096) / 2 ** 20) }
}

/** A pipe that nobody opens at its other end, or a file system that does not answer. Needs the right to trace the process. */
async function openedBy(pid: number): Promise<string | undefined> {
  // The number of the system call, and its arguments; of openat(2) the second one is the path's address.
  const [call, , path] = (await readProc(pid, 'syscall')).split(' ')
  if (path === undefined || Number(call) !== OPENAT[process.arch]) return undefined
  await using memory = await open(`/proc/${pid}/mem`)
  const { buffer, bytesRead } = await memory.read({ buffer: Buffer.alloc(MOST_PATH), position: BigInt(path) })
  const [text] = buffer.toString('utf8', 0, bytesRead).split('\0', 1)
  return text
}

/** Empty where it cannot be read. */
const readProc = (pid: number, name: string): Promise<string> =>
  readFile(`/proc/${pid}/${name}`, 'utf8').then(
    (text) => text.trim(),
    () => '',
  )
