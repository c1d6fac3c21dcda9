/** What the engine tells of itself. */
import type { Consumer } from './consumer.ts'
import type { Queue, QueueCounters } from './queue.ts'

export interface QueueStats extends Readonly<QueueCounters> {
  readonly name: string
  readonly durable: boolean
  readonly exclusive: boolean
  readonly ready: number
  readonly readyBytes: number
  /** Of ready messages that are in memory. */
  readonly memoryBytes: number
  readonly unsettled: number
  readonly consumers: number
}

export interface ConsumerStats {
  readonly tag: string
  readonly queue: string
  readonly unsettled: number
  /** 0 is no limit. */
  readonly prefetch: number
  readonly noAck: boolean
  readonly priority: number
}

export interface ChannelStats {
  readonly unsettled: number
  /** Of consumers to come, and of all together; 0 is no limit. */
  readonly prefetch: number
  readonly sharedPrefetch: number
  readonly consumers: readonly ConsumerStats[]
}

export function queueStats(queue: Queue): QueueStats {
  return {
    name: queue.name,
    durable: queue.traits.durable,
    exclusive: queue.traits.owner !== undefined,
    ready: queue.ready,
    readyBytes: queue.readyBytes,
    memoryBytes: queue.memoryBytes,
    unsettled: queue.unsettled,
    consumers: queue.consumers.size,
    ...queue.counters,
  }
}

export function consumerStats({ tag, queue, unsettled, prefetch, noAck, priority }: Consumer): ConsumerStats {
  return { tag, queue: queue.name, unsettled, prefetch, noAck, priority }
}
