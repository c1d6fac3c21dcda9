/** The consumers host: one instance in this process, or several as threads of it. */
import type { RoleHost, StartMessage, Unit, UnitContext } from '../unit.ts'
import { openInstance } from './runtime.ts'
import { startThreads } from './threads.ts'

export function consumersHost(): RoleHost {
  return { start }
}

async function start({ config, consumer: name }: StartMessage, context: UnitContext): Promise<Unit> {
  const settings = name === undefined ? undefined : config.consumers[name]
  if (name === undefined || settings === undefined) throw new TypeError(`a consumers unit needs the name of one, got ${String(name)}`)
  const { log, signal, report, hooks } = context
  if (settings.kind === 'thread') {
    const threads = await startThreads(name, settings, context)
    await hooks.run('postWorkerInit', {})
    return threads
  }
  const { entry } = settings
  const instance = await openInstance({ name, entry, log, signal, report })
  await hooks.run('postWorkerInit', {})
  return { status: instance.status, activate: instance.activate, stop: (_reason, deadline) => instance.stop(deadline) }
}
