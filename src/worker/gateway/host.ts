/** The gateway host: publishes what it is sent by HTTP. No user code runs here. */
import { createServer } from 'node:http'
import { once } from 'node:events'
import { messageOf } from '../../core/errors.ts'
import { connect } from '../../index.ts'
import { within } from '../deadline.ts'
import { hostResources } from '../resources.ts'
import type { RoleHost } from '../unit.ts'
import { trackConnections } from '../web/connections.ts'
import { gatewayApp } from './app.ts'

// Of the stop budget: flushing comes after the last request.
const SHARE_AFTER_DRAIN = 0.2
/** A head and a body must be there by then, and are looked for so often. Milliseconds. */
const HEADERS_MS = 5_000
const REQUEST_MS = 30_000
const CHECK_MS = 1_000
/** Nobody who asks by HTTP waits longer for a broker. Milliseconds. */
const CONNECT_MS = 5_000

export function gatewayHost(): RoleHost {
  return {
    async start({ config, listenFds }, { log, fail }) {
      const settings = config.gateway
      const [fd] = listenFds ?? []
      if (settings === undefined || fd === undefined) throw new TypeError('a gateway unit needs config.gateway and listenFds')
      const resources = hostResources(log)
      const connection = connect(undefined, { name: 'gateway', deadlineMs: CONNECT_MS })
      const connections = trackConnections()
      const app = gatewayApp({
        settings,
        connection,
        declares: Object.values(config.forward).map(({ queue }) => queue),
        onError: (error) => log.write('error', `a request failed: ${messageOf(error)}`, { error }),
      })
      const server = createServer({ headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS, connectionsCheckingInterval: CHECK_MS }, app)
      connections.watch(server)
      server.listen({ fd })
      await once(server, 'listening')
      server.on('error', fail)
      log.write('info', `takes messages on ${settings.listen}`)
      return {
        status: () => ({
          connected: resources.connected() === true,
          inFlight: connections.inFlight,
          requests: connections.requests,
        }),
        async stop(_reason, deadline) {
          const budget = deadline.leaving(SHARE_AFTER_DRAIN)
          const cut: string[] = []
          await within(
            budget.remainingMs(),
            connections.drain(budget).then((left) => cut.push(...left)),
          )
          return [...cut, ...(await resources.close(deadline))]
        },
      }
    },
  }
}
