/** What entries register under the host symbol: buses and the like, closed by the host after the last request or delivery. */
import { ClosedError, ConnectionError, messageOf } from '../core/errors.ts'
import { HOST_SYMBOL, type Host, type HostedResource, type Preloaded } from '../core/host.ts'
import { logBuses } from './bus-log.ts'
import { within, type Deadline } from './deadline.ts'
import type { Log } from './log.ts'

export interface Resources {
  /** Undefined when nothing is registered; false when any of them is not connected. */
  connected(): boolean | undefined
  /** Closes all in parallel. Resolves by the deadline with what is not closed by then; failures are logged. */
  close(deadline: Deadline): Promise<readonly string[]>
}

/** Sets the host symbol of this thread, and logs what its buses report. Call once, before any user code loads. */
export function hostResources(log: Log, preloaded?: Preloaded): Resources {
  logBuses(log)
  const registered = new Set<HostedResource>()
  const register = (resource: HostedResource): void => {
    registered.add(resource)
    // Not before its maker has returned. A lazy one that is not used yet would make the unit look disconnected for ever,
    // and a broker that cannot be reached would only be noticed by the first request.
    queueMicrotask(() => void connect(resource, log))
  }
  const host: Host = Object.freeze({ register, ...(preloaded && { preloaded }) })
  Reflect.set(globalThis, Symbol.for(HOST_SYMBOL), host)
  return {
    connected() {
      for (const resource of registered) if (resource.closed) registered.delete(resource)
      if (registered.size === 0) return undefined
      for (const resource of registered) if (!resource.connected) return false
      return true
    },
    async close(deadline) {
      const closed = await Promise.all(Array.from(registered, (resource) => closeOne(resource, deadline, log)))
      const open = closed.filter((done) => !done).length
      return open === 0 ? [] : [`${open} of ${closed.length} bus connections not closed`]
    },
  }
}

/**
 * What `attempt` resolves with, tried again for as long as an unreachable broker is its only trouble: the connection
 * itself goes on trying, and a rejection only says that one deadline is over.
 */
export async function untilConnected<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof ConnectionError) || error.fatal) throw error
    }
  }
}

async function connect(resource: HostedResource, log: Log): Promise<void> {
  try {
    await untilConnected(async () => resource.ready?.())
  } catch (error) {
    // Whoever uses it is told by its own call; the entry decides what follows.
    if (!(error instanceof ClosedError)) log.write('error', `a bus cannot be used: ${messageOf(error)}`, { error })
  }
}

async function closeOne(resource: HostedResource, deadline: Deadline, log: Log): Promise<boolean> {
  const deadlineMs = deadline.remainingMs()
  try {
    return await within(deadlineMs, resource.close({ deadlineMs }))
  } catch (error) {
    log.write('error', `closing a bus connection failed: ${messageOf(error)}`, { error })
    return false
  }
}
