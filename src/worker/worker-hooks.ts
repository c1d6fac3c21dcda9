/** The worker hooks of the config file, around the life of a web worker or of a process of a consumer. */
import type { HookGiven, ProcessHookContext, WorkerHook } from '../config/hooks.ts'
import { WorkerError } from '../core/errors.ts'
import { hookRunner } from './hooks.ts'
import type { Log } from './log.ts'
import type { RoleHost, StartMessage } from './unit.ts'

export interface WorkerHooks {
  has(name: WorkerHook): boolean
  /** As a hook runner does it; which process this is, is added. */
  run<Name extends WorkerHook>(name: Name, given: Omit<HookGiven<Name>, keyof ProcessHookContext>, withinMs?: number): Promise<boolean>
}

export const NO_HOOKS: WorkerHooks = Object.freeze({ has: () => false, run: () => Promise.resolve(true) })

/** The same host with the hooks that need nothing of it, once a process. */
export function withWorkerHooks(host: RoleHost): RoleHost {
  let hooks = NO_HOOKS
  return {
    async start(message, context) {
      hooks = await openHooks(message, context.log)
      if (hooks.has('workerAbort')) process.once('SIGABRT', () => void abort(hooks, context.fail))
      await hooks.run('postFork', {})
      const unit = await host.start(message, { ...context, hooks })
      return {
        ...unit,
        async stop(reason, deadline) {
          if (reason === 'quick') await hooks.run('workerInt', {}, deadline.leaving(0.5).remainingMs())
          return unit.stop(reason, deadline)
        },
      }
    },
    beforeExit: async (code, withinMs) => void (await hooks.run('workerExit', { code }, withinMs)),
  }
}

/** Of this process or thread. The config file is the user's code: only a file with worker hooks is loaded. */
export async function openHooks({ unit: label, config, consumer }: StartMessage, log: Log): Promise<WorkerHooks> {
  if (config.file === undefined || config.workerHooks.length === 0) return NO_HOOKS
  const { loadHooks } = await import('../config/load.ts')
  const runner = hookRunner(await loadHooks(config.file), config, log)
  const self = { unit: consumer ?? 'web', label, pid: process.pid }
  return {
    has: (name) => runner.has(name),
    run: (name, given, withinMs) => runner.run(name, { ...self, ...given } as unknown as HookGiven<typeof name>, withinMs),
  }
}

async function abort(hooks: WorkerHooks, fail: (error: unknown) => void): Promise<void> {
  await hooks.run('workerAbort', {})
  fail(new WorkerError('aborted by SIGABRT'))
}
