/** The config host: loads the config file for the master, and stays as the host of its server hooks. */
import type { LoadedConfig } from '../config/load.ts'
import { messageOf, WorkerError } from '../core/errors.ts'
import { BUS_URL_VARIABLE, busUrlOf } from '../supervisor/protocol.ts'
import { within } from './deadline.ts'
import { hostResources } from './resources.ts'
import type { RoleHost } from './unit.ts'

export function configHost(): RoleHost {
  let loaded: LoadedConfig | undefined
  return {
    async load({ file, root, overrides }) {
      const { loadConfig } = await import('../config/load.ts')
      loaded = await loadConfig({ ...(file === undefined ? {} : { file }), root, overrides })
      return loaded.config
    },

    async start({ config }, { log }) {
      if (loaded === undefined) throw new TypeError('"start" before "load"')
      const { hooks } = loaded
      const { hookTimeoutMs } = config
      const resources = hostResources(log)
      // This child was started before the config said which broker it is.
      process.env[BUS_URL_VARIABLE] = busUrlOf(config)
      const began = await within(hookTimeoutMs, Promise.resolve(hooks.onStarting?.({ config })))
      if (!began) throw new WorkerError(`hooks.onStarting did not return within ${hookTimeoutMs} ms (hookTimeoutMs)`)
      return {
        status() {
          const connected = resources.connected()
          return connected === undefined ? {} : { connected }
        },
        async stop(reason, deadline) {
          const cut: string[] = []
          try {
            // A tenth is kept for the flush of what the hook published.
            const budgetMs = Math.min(hookTimeoutMs, deadline.leaving(0.1).remainingMs())
            const ended = await within(budgetMs, Promise.resolve(hooks.onExit?.({ config, reason })))
            if (!ended) cut.push(`hooks.onExit did not return within ${Math.round(budgetMs)} ms`)
          } catch (error) {
            log.write('error', `hooks.onExit failed: ${messageOf(error)}`, { error })
          }
          return [...cut, ...(await resources.close(deadline))]
        },
      }
    },
  }
}
