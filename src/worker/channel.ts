/** A child's end of the IPC channel to the master. */
import type { FromChild, ToChild } from '../supervisor/protocol.ts'

export interface Channel {
  /** Resolves when it was handed to the kernel, or cannot be any more. Never rejects. */
  send(message: FromChild): Promise<void>
  /** One listener, called in order. */
  onMessage(listener: (message: ToChild) => void): void
  /** While unreferenced, the channel alone does not keep the process alive, so that Node's `beforeExit` tells an idle program. */
  ref(): void
  unref(): void
}

/** Throws where the process was not started with an IPC channel. */
export function openChannel(): Channel {
  const { channel } = process
  if (channel === undefined || channel === null) {
    throw new Error('worker/main is started by the omnibus master over an IPC channel, not by hand')
  }
  process.on('disconnect', killOwnGroup)
  return {
    send: (message) =>
      new Promise((resolve) => {
        if (!process.connected) return resolve()
        process.send?.(message, () => resolve())
      }),
    onMessage(listener) {
      process.on('message', (message: ToChild) => listener(message))
    },
    ref: () => channel.ref(),
    unref: () => channel.unref(),
  }
}

/**
 * The master is gone, so nobody would ever stop this child, or what it started: all of them end at once, without
 * draining, since a successor of the master may already be starting its own.
 */
function killOwnGroup(): void {
  try {
    // Only a group of its own: with 0, a child started without one would take its parent's group along.
    process.kill(-process.pid, 'SIGKILL')
  } catch {
    // ESRCH: this process leads no group.
  }
  process.kill(process.pid, 'SIGKILL')
}
