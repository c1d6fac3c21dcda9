/** The config host: loads the config file for the master, and stays as the host of its server hooks. */
import type { LoadedConfig } from '../config/load.ts'
import { BUS_URL_VARIABLE, busUrlOf } from '../supervisor/protocol.ts'
import { checkUrls } from '../transports/table.ts'
import { within } from './deadline.ts'
import { hookRunner } from './hooks.ts'
import { hostResources } from './resources.ts'
import type { RoleHost } from './unit.ts'

export function configHost(): RoleHost {
  let loaded: LoadedConfig | undefined
  return {
    async load({ file, root, overrides }) {
      const { loadConfig } = await import('../config/load.ts')
      loaded = await loadConfig({ ...(file === undefined ? {} : { file }), root, overrides, checkUrls })
      return loaded.config
    },

    async start({ config, cause }, { log }) {
      if (loaded === undefined) throw new TypeError('"start" before "load"')
      const hooks = hookRunner(loaded.hooks, config, log)
      const resources = hostResources(log)
      // This child was started before the config said what of it is the other processes' from their start.
      process.env[BUS_URL_VARIABLE] = busUrlOf(config)
      const { env, chdir, umask } = config.processes
      Object.assign(process.env, env)
      if (chdir !== undefined) process.chdir(chdir)
      if (umask !== undefined) process.umask(umask)
      await hooks.run('onStarting', {})
      if (cause === 'start') await hooks.run('whenReady', {})
      if (cause === 'reload') await hooks.run('onReload', {})
      const running = new Set<Promise<unknown>>()
      return {
        status() {
          const connected = resources.connected()
          return connected === undefined ? {} : { connected }
        },
        async hook({ name, given }) {
          const call = hooks.run(name, given)
          running.add(call)
          await call
          running.delete(call)
        },
        async stop(reason, deadline) {
          // A tenth is kept for the flush of what the hooks published.
          const budget = deadline.leaving(0.1)
          await within(budget.leaving(0.5).remainingMs(), Promise.all(running))
          const ended = await hooks.run('onExit', { reason: reason === 'reload' ? 'reload' : 'stop' }, budget.remainingMs())
          return [...(ended ? [] : ['hooks.onExit did not return']), ...(await resources.close(deadline))]
        },
      }
    },
  }
}
