import type { Entry } from './message.ts'
import type { Queue } from './queue.ts'

/** A subscription as its queue sees it. */
export interface Consumer {
  readonly queue: Queue
  readonly tag: string
  readonly exclusive: boolean
  readonly noAck: boolean
  /** `x-priority`: those with a higher one are served first. */
  readonly priority: number
  readonly channel: ConsumerChannel
  /** Most unsettled deliveries; 0 is no limit. */
  readonly prefetch: number
  unsettled: number
}

/** What a queue needs of the channel behind a consumer. */
export interface ConsumerChannel {
  /** Takes a delivery now: below its prefetch, and its peer reads. */
  hasRoom(consumer: Consumer): boolean
  deliver(consumer: Consumer, entry: Entry): void
  /** The queue is gone, and the consumer with it. */
  cancelled(consumer: Consumer): void
}

/** Consumers of one queue, served in turn. */
export class Consumers {
  #list: Consumer[] = []
  #turn = 0

  get size(): number {
    return this.#list.length
  }

  get exclusive(): boolean {
    return this.#list.some((consumer) => consumer.exclusive)
  }

  /** `inTurn`: behind all others, whatever its priority, so that it takes over from none. */
  add(consumer: Consumer, inTurn: boolean): void {
    if (inTurn) return void this.#list.push(consumer)
    const before = this.#list.findIndex((other) => other.priority < consumer.priority)
    if (before < 0) this.#list.push(consumer)
    else this.#list.splice(before, 0, consumer)
  }

  remove(consumer: Consumer): boolean {
    const at = this.#list.indexOf(consumer)
    if (at < 0) return false
    this.#list.splice(at, 1)
    if (at < this.#turn) this.#turn--
    return true
  }

  clear(): Consumer[] {
    const all = this.#list
    this.#list = []
    return all
  }

  /** The next with room: round robin among those of the highest priority that has one. */
  next(onlyFirst: boolean): Consumer | undefined {
    const list = this.#list
    const first = list[0]
    if (onlyFirst || list.length === 1) return first?.channel.hasRoom(first) ? first : undefined
    let best: Consumer | undefined
    let bestAt = 0
    for (let i = 0; i < list.length; i++) {
      const at = (this.#turn + i) % list.length
      const consumer = list[at]
      if (!consumer || (best && consumer.priority <= best.priority) || !consumer.channel.hasRoom(consumer)) continue
      best = consumer
      bestAt = at
      if (consumer.priority === first?.priority) break
    }
    if (best) this.#turn = bestAt + 1
    return best
  }
}
