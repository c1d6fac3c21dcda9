import type { MessageProperties } from '../../core/message.ts'
import type { Incoming, Settlement } from '../../core/transport.ts'
import type { Received } from './envelope.ts'

/** Who is told of a settlement. */
export interface Settler {
  settle(delivery: Delivery, settlement: Settlement): boolean | Promise<boolean>
}

/** One message taken from a queue. */
export class Delivery implements Incoming {
  readonly queue: string
  /** Its field in Kombu's books; '' where it needs no ack. */
  readonly field: string
  readonly #received: Received
  readonly #settler: Settler | undefined
  #settled = false

  constructor(queue: string, field: string, received: Received, settler: Settler | undefined) {
    this.queue = queue
    this.field = field
    this.#received = received
    this.#settler = settler
  }

  get body(): Uint8Array {
    return this.#received.body
  }

  get properties(): MessageProperties {
    return this.#received.properties
  }

  get exchange(): string {
    return this.#received.exchange
  }

  get routingKey(): string {
    return this.#received.routingKey
  }

  get redelivered(): boolean {
    return this.#received.redelivered
  }

  get deliveryCount(): number | undefined {
    return this.#received.deliveryCount
  }

  settle(settlement: Settlement): boolean | Promise<boolean> {
    if (this.#settled) return true
    this.#settled = true
    return this.#settler?.settle(this, settlement) ?? true
  }
}
