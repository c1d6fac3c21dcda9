/** The broker host: the built-in broker as a unit. No user code runs here. */
import { startBroker } from '../broker/index.ts'
import { messageOf } from '../core/errors.ts'
import { within } from './deadline.ts'
import type { RoleHost } from './unit.ts'

export function brokerHost(): RoleHost {
  return {
    async start({ config }, { log }) {
      const { data, listen } = config.bus
      const broker = await startBroker({
        data,
        ...(listen === undefined ? {} : { listen }),
        onEvent: (event: unknown) => log.write('info', 'broker', { event }),
      })
      return {
        status: () => ({}),
        async stop(_reason, deadline) {
          try {
            return (await within(deadline.remainingMs(), broker.stop())) ? [] : ['the broker was not closed']
          } catch (error) {
            log.write('error', `closing the broker failed: ${messageOf(error)}`, { error })
            return ['the broker was not closed cleanly']
          }
        },
      }
    },
  }
}
