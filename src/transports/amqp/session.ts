import type { AmqpConnection } from '../../amqp/index.ts'
import type { Session } from '../../core/transport.ts'
import { Fetcher } from './fetcher.ts'
import { Publisher } from './publisher.ts'
import { subscribe } from './subscription.ts'
import { Topology } from './topology.ts'

/** A session over one connection: topology, publishing, each subscription and each queue fetched from have channels of their own. */
export function amqpSession(connection: AmqpConnection): Session {
  const topology = new Topology(connection)
  const publisher = new Publisher(connection)
  const fetcher = new Fetcher(connection)
  return {
    declareExchange: (exchange) => topology.declareExchange(exchange),
    declareQueue: (queue) => topology.declareQueue(queue),
    unbind: (queue, exchange, routingKey, bindingArguments) => topology.unbind(queue, exchange, routingKey, bindingArguments),
    publish: (messages, settled) => publisher.publish(messages, settled),
    requests(handlers) {
      const requester = new Publisher(connection, handlers)
      return { publish: (messages, settled) => requester.publish(messages, settled) }
    },
    subscribe: (options) => subscribe(connection, options),
    get: (queue) => fetcher.get(queue),
    inspect: (queue) => topology.inspect(queue),
    inspectExchange: (exchange) => topology.inspectExchange(exchange),
    purge: (queue) => topology.purge(queue),
    deleteQueue: (queue) => topology.deleteQueue(queue),
    deleteExchange: (exchange) => topology.deleteExchange(exchange),
    updateSecret: (secret) => connection.updateSecret(secret),
    get lastHeardAt() {
      return connection.lastHeardAt
    },
    close: () => connection.close(),
    destroy: () => connection.destroy(),
  }
}
