/** The web host: one worker in this process, or several as threads of it. */
import { preload } from '../preload.ts'
import type { RoleHost, StartMessage, Unit, UnitContext } from '../unit.ts'
import { openThreads } from './threads.ts'
import { openWeb, settingsOf } from './worker.ts'

export function webHost(): RoleHost {
  return { start }
}

async function start(message: StartMessage, context: UnitContext): Promise<Unit> {
  const settings = settingsOf(message)
  const within = { ...context, preloaded: await preload('web.preload', settings, context) }
  return settings.kind === 'thread' ? openThreads(message, within) : openWeb(message, within)
}
