import type { DeathReason } from '../../core/dead-letter.ts'
import { circles, deadLetter } from './dead-letter.ts'
import type { Ledger } from './ledger.ts'
import type { Entry, Message } from './message.ts'
import type { Topology } from './topology.ts'

export interface DeparturesOptions {
  readonly ledger: Ledger
  readonly topology: Topology
  readonly messageOf: (entry: Entry) => Message
  /** Milliseconds on the engine's wall clock. */
  readonly now: () => number
  /** A dead letter could go nowhere. */
  readonly onDropped: (queue: string, exchange: string, reason: DeathReason) => void
}

/** How messages leave their queues, and how they come back: each becomes part of the next transaction. */
export class Departures {
  readonly #options: DeparturesOptions

  constructor(options: DeparturesOptions) {
    this.#options = options
  }

  /** `atOnce`: what else is in the batch must not be kept without it, nor it without that. */
  acked(entry: Entry, atOnce = false): void {
    entry.queue.counters.acked++
    const { batch } = this.#options.ledger
    if (!atOnce) return void batch.removed.push(entry)
    // Where it comes back, it was with a consumer.
    entry.redelivered = true
    batch.moved.push(entry)
  }

  rejected(entry: Entry): void {
    this.die(entry, 'rejected')
  }

  /** `counted`: as one delivery more. */
  givenBack(entry: Entry, counted: boolean): void {
    const { queue } = entry
    if (queue.deleted) return
    entry.redelivered = true
    if (counted) {
      entry.deliveries++
      const { deliveryLimit } = queue.traits.settings
      if (deliveryLimit !== undefined && entry.deliveries > deliveryLimit) return this.die(entry, 'delivery_limit')
    }
    const { ledger } = this.#options
    if (entry.stored) ledger.batch.returned.push(entry)
    queue.giveBack(entry)
    ledger.touch(queue)
  }

  /** It has left its queue: dead-letters it or forgets it. */
  die(entry: Entry, reason: DeathReason): void {
    const { ledger, topology, messageOf, now, onDropped } = this.#options
    const { queue } = entry
    const { deadLetterExchange: exchange, deadLetterRoutingKey: routingKey } = queue.traits.settings
    const { batch } = ledger
    if (exchange === undefined || queue.deleted) {
      batch.removed.push(entry)
      return
    }
    const letter = deadLetter(messageOf(entry), { queue: queue.name, reason, at: now(), exchange, routingKey })
    const known = topology.hasExchange(exchange)
    const targets = known ? topology.route(letter).filter((target) => !circles(letter, target.name)) : []
    if (targets.length === 0) {
      batch.removed.push(entry)
      onDropped(queue.name, exchange, reason)
      return
    }
    queue.counters.deadLettered++
    const copies = targets.map((target) => target.accept(letter))
    batch.moved.push(entry)
    batch.incoming.push(...copies)
  }
}
