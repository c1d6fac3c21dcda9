import type { AmqpConnection, Channel } from '../../amqp/index.ts'
import { messageOf, TopologyError } from '../../core/errors.ts'
import type { SubscribeOptions, Subscription } from '../../core/transport.ts'
import { Delivery, type DeliverySource } from './delivery.ts'
import { Settlements } from './settlements.ts'

const PREFETCH_MAX = 0xffff
/** Unique on its channel, and each subscription has its own. */
const CONSUMER_TAG = 'c'

/** Opens a channel and a consumer on it. Rejects with `TopologyError`. */
export async function subscribe(connection: AmqpConnection, options: SubscribeOptions): Promise<Subscription> {
  const { queue, noAck, onDelivery } = options
  let settlements: Settlements | undefined
  let source: DeliverySource
  /** `cancelling` still hands on what the broker sends; after `cancelled` no message can come. */
  let state: 'live' | 'cancelling' | 'cancelled' = 'live'
  /** The broker has answered basic.consume. An end before we have seen that answer is told after it. */
  let opened = false
  let endedEarly: string | undefined
  let channel: Channel

  const ended = (reason: string): void => {
    const wasLive = state === 'live'
    state = 'cancelled'
    if (!wasLive) return
    if (opened) options.onCancelled(reason)
    else endedEarly = reason
  }
  const closeWhenDone = (): void => {
    if (state !== 'cancelled' || (settlements?.open ?? 0) > 0) return
    settlements?.tellNow()
    channel.close()
  }

  channel = await connection.openChannel({
    deliver(args, content) {
      source.settlements?.delivered(args.deliveryTag)
      onDelivery(new Delivery(source, args, content))
    },
    cancelled() {
      ended(`the broker cancelled the consumer of queue "${queue}": the queue was deleted or has moved`)
      closeWhenDone()
    },
    closed: (reason) => ended(`the channel that consumed from queue "${queue}" was closed: ${reason.message} (${reason.replyCode})`),
  })
  settlements = new Settlements(channel, connection.writer, closeWhenDone)
  source = { queue, strings: channel.strings, settlements: noAck ? undefined : settlements }
  // Fewer than asked for is within the contract, and the wire has 16 bits.
  const prefetchCount = Math.min(options.prefetch, PREFETCH_MAX)
  try {
    await Promise.all([
      channel.call('basic.qos', { prefetchSize: 0, prefetchCount }),
      channel.call('basic.consume', {
        queue,
        consumerTag: CONSUMER_TAG,
        noAck,
        exclusive: options.exclusive,
        arguments: options.arguments,
      }),
    ])
    opened = true
    const reason = endedEarly
    if (reason !== undefined) queueMicrotask(() => options.onCancelled(reason))
  } catch (error) {
    channel.close()
    if (!(error instanceof TopologyError)) throw error
    throw new TopologyError(`Consuming from queue "${queue}" was refused: ${error.message} (${error.replyCode})`, error.replyCode, {
      cause: error,
    })
  }

  let cancelled: Promise<void> | undefined
  const cancel = async (): Promise<void> => {
    if (state === 'live') {
      state = 'cancelling'
      try {
        await channel.call('basic.cancel', { consumerTag: CONSUMER_TAG })
      } catch (error) {
        // The channel or the connection died meanwhile, which ends deliveries just as well.
        if (channel.open) throw new Error(`basic.cancel failed on an open channel: ${messageOf(error)}`, { cause: error })
      }
      state = 'cancelled'
    }
    closeWhenDone()
  }
  return { cancel: () => (cancelled ??= cancel()) }
}
