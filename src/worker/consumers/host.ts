/** The consumers host: one instance in this process, or several as threads of it. */
import type { UnitStatus } from '../../supervisor/protocol.ts'
import { preload } from '../preload.ts'
import { consumerSettings } from '../settings.ts'
import { openPool } from '../threads/pool.ts'
import type { RoleHost, StartMessage, Unit, UnitContext } from '../unit.ts'
import { shared } from './progress.ts'

export function consumersHost(): RoleHost {
  return { start }
}

async function start(message: StartMessage, context: UnitContext): Promise<Unit> {
  const { name, settings } = consumerSettings(message)
  const preloaded = await preload(`consumers.${name}.preload`, settings, context)
  // Imported on demand: the host of threads runs no consumer itself.
  if (settings.kind === 'process') return (await import('./runtime.ts')).openConsumer(message, { ...context, preloaded })
  const pool = await openPool({ role: 'consumers', size: settings.instances, settings, message, merge }, { ...context, preloaded })
  return {
    status: pool.status,
    activate: async () => pool.activate(),
    stop: (reason, deadline) => pool.stop(reason, deadline),
  }
}

function merge(statuses: readonly UnitStatus[]): UnitStatus {
  return {
    connected: statuses.every(({ connected }) => connected === true),
    subscribed: statuses.every(({ subscribed }) => subscribed === true),
    single: statuses.some(({ single }) => single === true),
    ...shared(statuses),
  }
}
