/** What lets a test break a disk: strace, which makes system calls fail or kills at them, and small file systems of one's own. */
import { execSync } from 'node:child_process'

export const canTrace = works('system calls that fail or kill, since strace is missing or may not trace', 'strace -o /dev/null true')

export const canMount = works(
  'a full disk, since this system lets nobody mount a small one',
  'unshare -rm mount -t tmpfs -o size=1m tmpfs /mnt',
)

/** The arguments of strace that run `command` with an action at a system call, such as `fsync:error=EIO:when=3`. */
export function injecting(injected: string, command: readonly string[]): string[] {
  return ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${injected.split(':')[0]}`, '-e', `inject=${injected}`, ...command]
}

function works(what: string, command: string): boolean {
  try {
    execSync(command, { stdio: 'ignore' })
    return true
  } catch {
    process.stderr.write(`NOT TESTED: ${what} (${command})\n`)
    return false
  }
}
