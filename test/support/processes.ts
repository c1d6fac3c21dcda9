/** Finding and ending every process a test started, also those that moved to a session or a parent of their own. */
import { readdirSync, readFileSync } from 'node:fs'

/** Set in the environment of what a test starts, and so inherited by all its descendants. */
export const MARK = 'OMNIBUS_TEST_MARK'

/** Living processes whose mark starts like this; zombies, which hold nothing but their number, are left out. Linux only. */
export function marked(mark: string): number[] {
  const wanted = `\0${MARK}=${mark}`
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && `\0${readProc(pid, 'environ')}`.includes(wanted) && stateOf(pid) !== 'Z')
}

/** SIGKILL to all that carry the mark, again until none is left: one may have forked in between. */
export function killMarked(mark: string): void {
  for (let round = 0; round < 20; round++) {
    const pids = marked(mark)
    if (pids.length === 0) return
    for (const pid of pids) signalQuietly(pid, 'SIGKILL')
  }
}

export function isAlive(pid: number): boolean {
  const state = stateOf(pid)
  return state !== undefined && state !== 'Z'
}

/** False when it no longer exists. */
export function signalQuietly(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

const stateOf = (pid: number): string | undefined => /\) (\S)/.exec(readProc(pid, 'stat'))?.[1]

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}
