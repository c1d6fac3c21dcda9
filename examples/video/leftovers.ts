import { readFile, readdir, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'

/**
 * A name for files and folders that must not outlive this process: host, pid and start time, which tells a process
 * from a later one that was given the same pid. `sweep` finds them by it.
 */
export async function ownMark(): Promise<string> {
  return `${host()}-${process.pid}-${(await startTime(process.pid)) ?? 0}`
}

/** Removes what dead processes of this host left in `folder`. Entries with other names are not ours and stay. */
export async function sweep(folder: string): Promise<string[]> {
  const removed: string[] = []
  for (const entry of await readdir(folder).catch(() => [])) {
    if (await abandoned(entry)) {
      await rm(join(folder, entry), { recursive: true, force: true })
      removed.push(entry)
    }
  }
  return removed
}

async function abandoned(entry: string): Promise<boolean> {
  const match = /^([a-z0-9.]+)-(\d+)-(\d+)-/.exec(entry)
  if (match?.[1] !== host()) return false
  const pid = Number(match[2])
  return !isAlive(pid) || ((await startTime(pid)) ?? 0) !== Number(match[3])
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives, under another user.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** Clock ticks from boot to the start of the process (proc(5), field 22); undefined where there is no /proc. */
async function startTime(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  // The command's name is in parentheses and may hold spaces and parentheses itself; field 3 follows the last one.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields?.[19] === undefined ? undefined : Number(fields[19])
}

function host(): string {
  return (
    hostname()
      .toLowerCase()
      .replace(/[^a-z0-9.]/g, '.') || 'host'
  )
}
