/**
 * PID 1, as in a container without an init, has a duty Node cannot do: to reap processes whose parent died and which so
 * became its children. A shell does it in passing while it waits, so the shell becomes PID 1, forwards the signals, and ends
 * with the master's code.
 */
import { accessSync, constants } from 'node:fs'

const SHELL = '/bin/sh'
const SCRIPT = `
"$@" &
master=$!
for signal in TERM INT QUIT HUP USR1 USR2 TTIN TTOU; do trap "kill -s $signal $master 2>/dev/null" $signal; done
while :; do
  wait $master
  code=$?
  # A signal ends the wait, not the master.
  kill -0 $master 2>/dev/null || exit $code
done
`

/** As PID 1 it replaces this process and does not return; otherwise, or where there is no shell, nothing happens. */
export function becomeInit(): void {
  if (process.pid !== 1 || process.execve === undefined) return
  try {
    accessSync(SHELL, constants.X_OK)
  } catch {
    return
  }
  process.execve(SHELL, ['sh', '-c', SCRIPT, 'omnibus-init', process.execPath, ...process.execArgv, ...process.argv.slice(1)])
}
