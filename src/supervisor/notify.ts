/**
 * Tells systemd how the service is: sd_notify(3). Node has no datagrams on unix sockets, so systemd's own program speaks; the
 * unit needs NotifyAccess=all. Nothing happens where no service manager listens.
 */
import { spawn } from 'node:child_process'

export type ServiceState = 'ready' | 'reloading' | 'stopping'

const MESSAGES: Readonly<Record<ServiceState, readonly string[]>> = {
  ready: ['READY=1'],
  reloading: ['RELOADING=1'],
  stopping: ['STOPPING=1'],
}

export interface Notifier {
  tell(state: ServiceState): void
  /** For a second master, which speaks to the same service manager. */
  readonly env: Readonly<Record<string, string>>
}

/** Takes the variable away, since no child is to speak for the service. */
export function takeNotifier(env: NodeJS.ProcessEnv, onProblem: (reason: string) => void): Notifier {
  const { NOTIFY_SOCKET: socket } = env
  delete env['NOTIFY_SOCKET']
  if (socket === undefined) return { env: {}, tell() {} }
  const own = { NOTIFY_SOCKET: socket }
  let last = Promise.resolve()
  const send = (state: ServiceState): Promise<void> =>
    new Promise((resolve) => {
      // Of CLOCK_MONOTONIC; Type=notify-reload wants to know which reload it is.
      const time = state === 'reloading' ? [`MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`] : []
      // The main process is named each time: it changes where a second master takes over, and back.
      const args = [`MAINPID=${process.pid}`, ...MESSAGES[state], ...time]
      const speaker = spawn('systemd-notify', args, { env: { PATH: env['PATH'], ...own }, stdio: 'ignore' })
      speaker.once('error', ({ message }) => {
        onProblem(message)
        resolve()
      })
      speaker.once('exit', () => resolve())
    })
  return {
    env: own,
    tell(state) {
      // One after the other, since the last one counts.
      last = last.then(() => send(state))
    },
  }
}
