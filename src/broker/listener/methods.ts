import type { Method, MethodArgs } from '../../amqp/index.ts'
import { ProtocolError } from '../../core/errors.ts'
import { notFoundPrevious, precondition } from '../engine/refusals.ts'
import type { ServerChannel } from './server-channel.ts'

/** What a method on an open channel does. Refusals are thrown. */
export function handleMethod(on: ServerChannel, method: Method): void {
  const { channel, connection, output } = on
  const { engine } = connection
  switch (method.name) {
    case 'basic.ack':
      return channel.ack(method.args.deliveryTag, method.args.multiple)
    case 'basic.nack': {
      const { deliveryTag, multiple, requeue } = method.args
      return requeue ? channel.giveBack(deliveryTag, multiple, 'untouched') : channel.reject(deliveryTag, multiple)
    }
    case 'basic.reject': {
      const { deliveryTag, requeue } = method.args
      return requeue ? channel.giveBack(deliveryTag, false, 'failed') : channel.reject(deliveryTag, false)
    }
    case 'basic.consume':
      return consume(on, method.args)
    case 'basic.cancel':
      channel.cancel(method.args.consumerTag)
      if (!method.args.noWait) output.method('basic.cancel-ok', { consumerTag: method.args.consumerTag })
      return
    case 'basic.qos':
      if (method.args.prefetchSize !== 0) throw notImplemented(`prefetch_size!=0 (${method.args.prefetchSize})`)
      channel.qos(method.args.prefetchCount, method.args.global)
      return output.method('basic.qos-ok', {})
    case 'basic.get':
      return get(on, method.args)
    case 'basic.recover':
    case 'basic.recover-async':
      if (!method.args.requeue) throw notImplemented('requeue=false')
      channel.recover('untouched')
      if (method.name === 'basic.recover') output.method('basic.recover-ok', {})
      return
    case 'confirm.select':
      if (on.transactional) throw precondition('cannot switch from tx to confirm mode')
      on.confirms.select()
      if (!method.args.noWait) output.method('confirm.select-ok', {})
      return
    case 'channel.flow':
      if (!method.args.active) throw notImplemented('active=false')
      return output.method('channel.flow-ok', { active: true })
    case 'channel.open':
      throw new ProtocolError("CHANNEL_ERROR - second 'channel.open' seen", 504)
    case 'exchange.declare':
      return declareExchange(on, method.args)
    case 'exchange.delete':
      engine.deleteExchange(method.args.exchange, method.args.ifUnused)
      if (!method.args.noWait) output.method('exchange.delete-ok', {})
      return
    case 'exchange.bind': {
      const { destination, source, routingKey, noWait, arguments: args } = method.args
      engine.bindExchange(destination, source, routingKey, args)
      if (!noWait) output.method('exchange.bind-ok', {})
      return
    }
    case 'exchange.unbind': {
      const { destination, source, routingKey, noWait, arguments: args } = method.args
      engine.unbindExchange(destination, source, routingKey, args)
      if (!noWait) output.method('exchange.unbind-ok', {})
      return
    }
    case 'queue.declare':
      return declareQueue(on, method.args)
    case 'queue.bind': {
      const { exchange, noWait, arguments: args } = method.args
      const queue = queueName(on, method.args.queue)
      // Both empty: the last declared queue by its own name (§1.7.2.3).
      const routingKey = method.args.queue === '' && method.args.routingKey === '' ? queue : method.args.routingKey
      engine.bind(queue, exchange, routingKey, args, connection)
      if (!noWait) output.method('queue.bind-ok', {})
      return
    }
    case 'queue.unbind': {
      const { exchange, routingKey, arguments: args } = method.args
      engine.unbind(queueName(on, method.args.queue), exchange, routingKey, args, connection)
      return output.method('queue.unbind-ok', {})
    }
    case 'queue.purge': {
      const messageCount = engine.purge(queueName(on, method.args.queue), connection)
      if (!method.args.noWait) output.method('queue.purge-ok', { messageCount })
      return
    }
    case 'queue.delete': {
      const messageCount = engine.deleteQueue(queueName(on, method.args.queue), connection, method.args)
      if (!method.args.noWait) output.method('queue.delete-ok', { messageCount })
      return
    }
    case 'tx.select':
      if (on.confirms.selected) throw precondition('cannot switch from confirm to tx mode')
      on.transactional = true
      channel.begin()
      return output.method('tx.select-ok', {})
    case 'tx.commit':
      channel.commit()
      return output.method('tx.commit-ok', {})
    case 'tx.rollback':
      channel.rollback()
      return output.method('tx.rollback-ok', {})
    default:
      throw new ProtocolError('COMMAND_INVALID - unimplemented method', 503)
  }
}

function consume(on: ServerChannel, args: MethodArgs<'basic.consume'>): void {
  const { noAck, exclusive, noWait } = args
  const queue = queueName(on, args.queue)
  const consumerTag = on.channel.consume({ queue, tag: args.consumerTag, noAck, exclusive, arguments: args.arguments })
  if (!noWait) on.output.method('basic.consume-ok', { consumerTag })
}

function get(on: ServerChannel, args: MethodArgs<'basic.get'>): void {
  const { output } = on
  const found = on.channel.get(queueName(on, args.queue), args.noAck)
  if (!found) return output.method('basic.get-empty', {})
  const { tag, message, entry, remaining } = found
  const { exchange, routingKey } = message
  const reply = { deliveryTag: tag, redelivered: entry.redelivered, exchange, routingKey, messageCount: remaining }
  output.content('basic.get-ok', reply, message)
}

function declareExchange({ connection, output }: ServerChannel, args: MethodArgs<'exchange.declare'>): void {
  const { exchange: name, type, durable, autoDelete, internal } = args
  if (args.passive) connection.engine.checkExchange(name)
  else connection.engine.declareExchange({ name, type, durable, autoDelete, internal, arguments: args.arguments })
  if (!args.noWait) output.method('exchange.declare-ok', {})
}

function declareQueue(on: ServerChannel, args: MethodArgs<'queue.declare'>): void {
  const { connection, output } = on
  const { durable, exclusive, autoDelete } = args
  const name = args.passive ? queueName(on, args.queue) : args.queue
  if (connection.engine.isReplyQueue(name)) {
    if (!args.noWait) output.method('queue.declare-ok', { queue: name, messageCount: 0, consumerCount: 1 })
    return
  }
  const queue = args.passive
    ? connection.engine.checkQueue(name, connection)
    : connection.engine.declareQueue({ name, durable, exclusive, autoDelete, arguments: args.arguments }, connection)
  on.lastQueue = queue.name
  const reply = { queue: queue.name, messageCount: queue.ready, consumerCount: queue.consumers.size }
  if (!args.noWait) output.method('queue.declare-ok', reply)
}

/** An empty name means the queue this channel declared last. */
function queueName(on: ServerChannel, name: string): string {
  if (name !== '') return name
  if (on.lastQueue === '') throw notFoundPrevious()
  return on.lastQueue
}

const notImplemented = (what: string): ProtocolError => new ProtocolError(`NOT_IMPLEMENTED - ${what}`, 540)
