import {
  bodyInMemory,
  type Channel,
  decodeProperties,
  encodeProperties,
  type Engine,
  type Handed,
  type Message,
  type Outcome,
  REPLY_TO,
} from '../../broker/engine/index.ts'
import type { Clock } from '../../core/clock.ts'
import type { Exchange } from '../../core/entities.ts'
import { ClosedError, ConnectionError, messageOf } from '../../core/errors.ts'
import type { MessageProperties, Outgoing, PublishResult } from '../../core/message.ts'
import type { Incoming, QueueState, Session, Settlement, SubscribeOptions } from '../../core/transport.ts'

interface Published {
  readonly message: Outgoing
  readonly settled: (message: Outgoing, result: PublishResult) => void
}

/** Never dies by itself. Operations happen at once; results and deliveries come with the engine's next turn. */
export function memorySession(engine: Engine, clock: Clock): Session {
  const owner = {}
  const subscriptions = new Map<string, SubscribeOptions>()
  const published = new Map<number, Published>()
  let lastId = 0
  let open = true
  let destroyed = false

  const channel: Channel = engine.channel(owner, {
    writable: () => true,
    delivered(tag, deliveryTag, message, entry) {
      const options = subscriptions.get(tag)
      options?.onDelivery(incoming(message, entry, options.noAck ? settleNothing : settler(deliveryTag)))
    },
    cancelled(tag) {
      const options = subscriptions.get(tag)
      subscriptions.delete(tag)
      options?.onCancelled(`the queue "${options.queue}" was deleted`)
    },
    // The outcome says the same.
    returned() {},
    settled(id, outcome, reason) {
      const entry = published.get(id)
      published.delete(id)
      entry?.settled(entry.message, resultOf(outcome, reason))
    },
  })

  const settler = (tag: number): Incoming['settle'] => {
    let settled = false
    return (settlement) => {
      if (!open) return false
      if (!settled) settle(channel, tag, settlement)
      settled = true
      return true
    }
  }

  const declareExchange = ({ name, type, durable, autoDelete, arguments: args }: Exchange): void => {
    if (name === '') return
    engine.declareExchange({ name, type, durable, autoDelete, internal: false, arguments: args })
  }

  /** Refusals are thrown; as everywhere they reach the caller as a rejection. */
  const run = async <T>(operation: () => T): Promise<T> => {
    if (destroyed) throw new ConnectionError('The memory session was destroyed')
    if (!open) throw new ClosedError('The memory session is closed')
    return operation()
  }

  const publishOne = (message: Outgoing, settled: Published['settled']): void => {
    const id = ++lastId
    published.set(id, { message, settled })
    try {
      const properties = encodeProperties(message.properties)
      const { exchange, routingKey } = message
      // Copied, since the publisher may use its buffer again.
      channel.publish({ exchange, routingKey, properties, body: Uint8Array.from(message.body) }, message.mandatory, id)
    } catch (error) {
      published.delete(id)
      queueMicrotask(() => settled(message, { status: 'refused', reason: messageOf(error) }))
    }
  }

  const subscribe = (options: SubscribeOptions): string => {
    const { queue, noAck, exclusive, prefetch } = options
    const tag = channel.consume({ queue, tag: '', noAck, exclusive, arguments: options.arguments, prefetch })
    subscriptions.set(tag, options)
    return tag
  }

  const end = (how: 'untouched' | 'failed'): void => {
    open = false
    channel.close(how)
    engine.disconnected(owner)
    subscriptions.clear()
  }

  return {
    declareExchange: (exchange) => run(() => declareExchange(exchange)),
    declareQueue: (queue) =>
      run(() => {
        for (const { exchange } of queue.bindings) declareExchange(exchange)
        const { name } = engine.declareQueue(queue, owner)
        for (const { exchange, routingKey, arguments: args } of queue.bindings) {
          // Every queue is bound to the default exchange by its name, and by nothing else.
          if (exchange.name !== '') engine.bind(name, exchange.name, routingKey, args, owner)
        }
        return stateOf(engine, name, owner)
      }),
    unbind: (queue, exchange, routingKey, args) =>
      run(() => {
        if (engine.hasQueue(queue) && engine.hasExchange(exchange)) engine.unbind(queue, exchange, routingKey, args, owner)
      }),
    publish(messages, settled) {
      for (const message of messages) {
        if (open) publishOne(message, settled)
      }
    },
    requests(handlers) {
      const alone = { prefetch: 0, exclusive: false, noAck: true, arguments: {}, onCancelled: () => undefined }
      let listening: string | undefined
      return {
        publish(messages, settled) {
          if (open) listening ??= subscribe({ ...alone, queue: REPLY_TO, onDelivery: (answer) => handlers.onAnswer(answer) })
          for (const message of messages) {
            const addressed = { ...message, properties: { ...message.properties, replyTo: REPLY_TO } }
            if (open) publishOne(addressed, (_, result) => settled(message, result))
          }
        },
      }
    },
    subscribe: (options) =>
      run(() => {
        const tag = subscribe(options)
        return {
          async cancel() {
            subscriptions.delete(tag)
            if (open) channel.cancel(tag)
          },
        }
      }),
    get: (queue) =>
      run(() => {
        const found = channel.get(queue, false)
        return found && incoming(found.message, found.entry, settler(found.tag))
      }),
    inspect: (queue) => run(() => stateOf(engine, queue, owner)),
    inspectExchange: (exchange) => run(() => engine.checkExchange(exchange)),
    purge: (queue) => run(() => engine.purge(queue, owner)),
    deleteQueue: (queue) => run(() => void engine.deleteQueue(queue, owner, { ifUnused: false, ifEmpty: false })),
    deleteExchange: (exchange) => run(() => engine.deleteExchange(exchange, false)),
    get lastHeardAt() {
      return clock.monotonic()
    },
    async close() {
      if (!open) return
      engine.flush()
      end('untouched')
    },
    destroy() {
      destroyed = true
      if (!open) return
      published.clear()
      end('failed')
    },
  }
}

function stateOf(engine: Engine, name: string, owner: object): QueueState {
  const queue = engine.checkQueue(name, owner)
  return { name, messages: queue.ready, consumers: queue.consumers.size }
}

function settle(channel: Channel, tag: number, settlement: Settlement): void {
  if (settlement === 'ack') channel.ack(tag, false)
  else if (settlement === 'reject') channel.reject(tag, false)
  else channel.giveBack(tag, false, settlement === 'requeue' ? 'failed' : 'untouched')
}

const settleNothing = (): boolean => true

function incoming(message: Message, entry: Handed, settleIt: Incoming['settle']): Incoming {
  const { exchange, routingKey } = message
  const { redelivered, deliveries } = entry
  let properties: MessageProperties | undefined
  return {
    body: bodyInMemory(message),
    exchange,
    routingKey,
    redelivered,
    queue: entry.queue.name,
    deliveryCount: deliveries,
    settle: settleIt,
    get properties() {
      properties ??= decodeProperties(message.properties)
      return properties
    },
  }
}

function resultOf(outcome: Outcome, reason: string): PublishResult {
  switch (outcome) {
    case 'routed':
      return { status: 'confirmed', routed: true }
    case 'unrouted':
      return { status: 'confirmed', routed: false }
    case 'refused':
    case 'failed':
      return { status: 'nacked', reason }
  }
}
