/** The web host: one worker in this process, or several as threads of it. */
import { preload } from '../preload.ts'
import { webSettings } from '../settings.ts'
import type { RoleHost, StartMessage, Unit, UnitContext } from '../unit.ts'

export function webHost(): RoleHost {
  return { start }
}

async function start(message: StartMessage, context: UnitContext): Promise<Unit> {
  const settings = webSettings(message)
  const within = { ...context, preloaded: await preload('web.preload', settings, context) }
  // Imported on demand: the host of threads serves no app itself.
  if (settings.kind === 'thread') return (await import('./threads.ts')).openThreads(message, within)
  return (await import('./worker.ts')).openWeb(message, within)
}
