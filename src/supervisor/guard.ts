/**
 * What ends the children when the master can no longer do it itself: a shell that holds one end of a pipe and a list of
 * process groups, and kills them when the pipe closes, which the kernel does even for a master killed by SIGKILL. It
 * reaches what an IPC `disconnect` does not: children that spin, and what they started.
 */
import { type ChildProcess, spawn } from 'node:child_process'

export interface Guard {
  add(group: number): void
  remove(group: number): void
  /** Ends the guard, which kills whatever is still listed. Resolves when it is gone. */
  close(): Promise<void>
}

export interface GuardOptions {
  /** There is no guard for now, and why. */
  readonly onLost: (reason: string) => void
  /** @default '/bin/sh' */
  readonly shell?: string
}

/** Reads `+123` and `-123`, one a line. No program is run: `read`, `kill` and `trap` are the shell's own. */
const SCRIPT = `
trap '' TERM INT HUP QUIT USR1 USR2 PIPE TTIN TTOU
groups=' '
while read -r line; do
  group="\${line#?}"
  case "$line" in
    +*) groups="$groups$group " ;;
    -*) case "$groups" in *" $group "*) groups="\${groups%% $group *} \${groups#* $group }" ;; esac ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
`
const AGAIN_MS = 200

export function startGuard(options: GuardOptions): Guard {
  const groups = new Set<number>()
  let shell: ChildProcess | undefined
  let closing = false

  const start = (): void => {
    // Its own session, so that no signal of the terminal reaches it. Its stdin is close-on-exec, so no other child keeps the pipe open.
    const started = spawn(options.shell ?? '/bin/sh', ['-c', SCRIPT, 'omnibus-guard'], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      env: {},
    })
    shell = started
    let lost = false
    const onLost = (reason: string): void => {
      if (closing || lost) return
      lost = true
      shell = undefined
      options.onLost(reason)
      setTimeout(() => !closing && start(), AGAIN_MS).unref()
    }
    started.once('error', (error) => onLost(error.message))
    started.once('exit', (code, signal) => onLost(`ended (${code ?? signal})`))
    started.stdin?.on('error', () => {})
    started.unref()
    for (const group of groups) started.stdin?.write(`+${group}\n`)
  }
  start()

  return {
    add(group) {
      groups.add(group)
      shell?.stdin?.write(`+${group}\n`)
    },
    remove(group) {
      if (groups.delete(group)) shell?.stdin?.write(`-${group}\n`)
    },
    close() {
      closing = true
      const ending = shell
      if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return Promise.resolve()
      return new Promise((resolve) => {
        ending.once('exit', () => resolve())
        ending.ref()
        ending.stdin?.end()
      })
    },
  }
}
