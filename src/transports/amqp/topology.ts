import type { AmqpConnection, Channel } from '../../amqp/index.ts'
import { defaultExchange, type Binding, type Exchange, type Queue } from '../../core/entities.ts'
import { TopologyError } from '../../core/errors.ts'
import type { Headers } from '../../core/message.ts'
import type { QueueState } from '../../core/transport.ts'

/**
 * Declarations and the like, one after another on a channel of their own. An operation the broker refuses costs the channel,
 * which is replaced for the next one.
 */
export class Topology {
  readonly #connection: AmqpConnection
  #channel: Channel | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(connection: AmqpConnection) {
    this.#connection = connection
  }

  declareExchange(exchange: Exchange): Promise<void> {
    return this.#run(async (channel) => declareExchange(channel, exchange))
  }

  declareQueue(queue: Queue): Promise<QueueState> {
    return this.#run(async (channel) => {
      const exchanges = new Map(queue.bindings.map(({ exchange }) => [exchange.name, exchange]))
      for (const exchange of exchanges.values()) await declareExchange(channel, exchange)
      const state = await named(`Declaring queue "${queue.name}"`, () =>
        channel.call('queue.declare', {
          queue: queue.name,
          durable: queue.durable,
          exclusive: queue.exclusive,
          autoDelete: queue.autoDelete,
          arguments: queue.arguments,
        }),
      )
      for (const binding of queue.bindings) await bindQueue(channel, state.queue, binding)
      return { name: state.queue, messages: state.messageCount, consumers: state.consumerCount }
    })
  }

  unbind(queue: string, exchange: string, routingKey: string, bindingArguments: Headers): Promise<void> {
    return this.#run(async (channel) => {
      try {
        await named(`Unbinding queue "${queue}" from exchange "${exchange}"`, () =>
          channel.call('queue.unbind', { queue, exchange, routingKey, arguments: bindingArguments }),
        )
      } catch (error) {
        // Where the queue or the exchange is gone, so is the binding.
        if (!(error instanceof TopologyError && error.replyCode === 404)) throw error
      }
    })
  }

  inspect(queue: string): Promise<QueueState> {
    return this.#run(async (channel) => {
      const state = await named(`Inspecting queue "${queue}"`, () => channel.call('queue.declare', { queue, passive: true }))
      return { name: state.queue, messages: state.messageCount, consumers: state.consumerCount }
    })
  }

  inspectExchange(exchange: string): Promise<void> {
    return this.#run(async (channel) => {
      // As in a declaration, RabbitMQ answers 403 to whoever asks.
      if (exchange === defaultExchange.name) return
      await named(`Inspecting exchange "${exchange}"`, () => channel.call('exchange.declare', { exchange, type: '', passive: true }))
    })
  }

  purge(queue: string): Promise<number> {
    return this.#run(
      async (channel) => (await named(`Purging queue "${queue}"`, () => channel.call('queue.purge', { queue }))).messageCount,
    )
  }

  deleteQueue(queue: string): Promise<void> {
    return this.#run(async (channel) => {
      await named(`Deleting queue "${queue}"`, () => channel.call('queue.delete', { queue }))
    })
  }

  deleteExchange(exchange: string): Promise<void> {
    return this.#run(async (channel) => {
      await named(`Deleting exchange "${exchange}"`, () => channel.call('exchange.delete', { exchange }))
    })
  }

  #run<T>(operation: (channel: Channel) => Promise<T>): Promise<T> {
    const run = async (): Promise<T> => {
      if (!this.#channel?.open) this.#channel = await this.#connection.openChannel({})
      return operation(this.#channel)
    }
    const result = this.#last.then(run)
    this.#last = result.catch(() => undefined)
    return result
  }
}

async function declareExchange(channel: Channel, exchange: Exchange): Promise<void> {
  // It always exists, and RabbitMQ answers 403 to whoever declares it.
  if (exchange.name === defaultExchange.name) return
  await named(`Declaring exchange "${exchange.name}"`, () =>
    channel.call('exchange.declare', {
      exchange: exchange.name,
      type: exchange.type,
      durable: exchange.durable,
      autoDelete: exchange.autoDelete,
      arguments: exchange.arguments,
    }),
  )
}

async function bindQueue(channel: Channel, queue: string, binding: Binding): Promise<void> {
  const { exchange, routingKey } = binding
  // Every queue is bound to the default exchange by its name.
  if (exchange.name === defaultExchange.name && routingKey === queue) return
  await named(`Binding queue "${queue}" to exchange "${exchange.name}"`, () =>
    channel.call('queue.bind', { queue, exchange: exchange.name, routingKey, arguments: binding.arguments }),
  )
}

/** A channel error's text does not always say what was being done. */
async function named<T>(what: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error
    // "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received …"
    const argument = /inequivalent arg '([^']+)'/.exec(error.message)?.[1]
    throw new TopologyError(`${what} was refused: ${error.message} (${error.replyCode})`, error.replyCode, { cause: error, argument })
  }
}
