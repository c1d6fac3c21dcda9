/** What entries register under the host symbol: buses and the like, closed by the host after the last request or delivery. */
import { messageOf } from '../core/errors.ts'
import { HOST_SYMBOL, type Host, type HostedResource } from '../core/host.ts'
import { within, type Deadline } from './deadline.ts'
import type { Log } from './log.ts'

export interface Resources {
  /** Undefined when nothing is registered; false when any of them is not connected. */
  connected(): boolean | undefined
  /** Closes all in parallel. Resolves by the deadline with what is not closed by then; failures are logged. */
  close(deadline: Deadline): Promise<readonly string[]>
}

/** Sets the host symbol of this thread. Call before any user code loads. */
export function hostResources(log: Log): Resources {
  const registered = new Set<HostedResource>()
  const host: Host = Object.freeze({ register: (resource: HostedResource) => void registered.add(resource) })
  Reflect.set(globalThis, Symbol.for(HOST_SYMBOL), host)
  return {
    connected() {
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

async function closeOne(resource: HostedResource, deadline: Deadline, log: Log): Promise<boolean> {
  const deadlineMs = deadline.remainingMs()
  try {
    return await within(deadlineMs, resource.close({ deadlineMs }))
  } catch (error) {
    log.write('error', `closing a bus connection failed: ${messageOf(error)}`, { error })
    return false
  }
}
