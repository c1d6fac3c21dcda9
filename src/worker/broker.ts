/** The broker host: the built-in broker as a unit. No user code runs here. */
import { type BrokerEvent, startBroker } from '../broker/index.ts'
import { messageOf } from '../core/errors.ts'
import { within } from './deadline.ts'
import type { Log } from './log.ts'
import type { RoleHost } from './unit.ts'

export function brokerHost(): RoleHost {
  return {
    async start({ config }, { log, fail }) {
      const { data, listen } = config.bus
      const broker = await startBroker({ data, ...(listen === undefined ? {} : { listen }), onEvent: (event) => logEvent(log, event) })
      // A store that failed, or a folder that could not be taken over from its former owner.
      broker.closed.catch(fail)
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

function logEvent(log: Log, event: BrokerEvent): void {
  switch (event.type) {
    case 'owner':
      return log.write('info', `broker accepts on ${[event.socket, event.listening].filter(Boolean).join(' and ')}`)
    case 'standby':
      return log.write('info', 'broker stands by: another process owns its folder')
    case 'alarm':
      return log.write('error', `broker blocks publishers: ${event.reason}`)
    case 'alarm-over':
      return log.write('info', 'broker takes publishes again')
    case 'store-full':
      return log.write('error', `broker refused ${event.refused} publishes: ${messageOf(event.error)}`)
    case 'store-failed':
      return log.write('error', `broker's store failed: ${messageOf(event.error)}`, { error: event.error })
    case 'dead-letter-dropped':
      return log.write('warn', `a dead letter of ${event.queue} had nowhere to go`, { exchange: event.exchange, reason: event.reason })
    case 'client-open':
    case 'client-end':
    case 'ended':
      return log.write('debug', `broker: ${event.type}`, { ...event })
  }
}
