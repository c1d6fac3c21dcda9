/** What a process that no longer answers is doing, told from outside: it is about to be killed and can say nothing itself. */
import { readFile } from 'node:fs/promises'
import { sleep } from '../core/clock.ts'

export interface Diagnosis {
  /** R running, S sleeping, D in the kernel, T stopped; as in proc(5). */
  readonly state: string
  /** Share of one CPU it used while it was watched, in percent: near 100 is a loop, near 0 a blocking call. */
  readonly cpuPercent: number
  /** The kernel function it sleeps in, where the system tells. */
  readonly waitsIn?: string
  readonly rssMb: number
}

const WATCH_MS = 200
/** USER_HZ, in which /proc counts; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

/** Undefined where there is no /proc, or no such process any more. */
export async function diagnose(pid: number): Promise<Diagnosis | undefined> {
  try {
    const before = await sample(pid)
    await sleep(WATCH_MS)
    const after = await sample(pid)
    const waitsIn = (await readFile(`/proc/${pid}/wchan`, 'utf8').catch(() => '')).trim()
    const seconds = (after.ticks - before.ticks) / TICKS_PER_SECOND
    return {
      state: after.state,
      cpuPercent: Math.round((seconds / (WATCH_MS / 1000)) * 100),
      ...(waitsIn !== '' && waitsIn !== '0' && { waitsIn }),
      rssMb: after.rssMb,
    }
  } catch {
    return undefined
  }
}

async function sample(pid: number): Promise<{ state: string; ticks: number; rssMb: number }> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  // After the command in parentheses, which may hold anything: state is field 3, utime 14, stime 15, rss 24 (in pages).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const field = (number: number): number => Number(fields[number - 3])
  return { state: fields[0] ?? '?', ticks: field(14) + field(15), rssMb: Math.round((field(24) * 4096) / 2 ** 20) }
}
