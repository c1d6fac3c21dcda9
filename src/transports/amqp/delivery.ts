import type { Content, StringCache } from '../../amqp/index.ts'
import { CodecError, messageOf } from '../../core/errors.ts'
import type { MessageProperties } from '../../core/message.ts'
import type { Incoming, Settlement } from '../../core/transport.ts'
import type { Settlements } from './settlements.ts'

/** What all deliveries of one subscription share. */
export interface DeliverySource {
  readonly queue: string
  readonly strings: StringCache
  /** Absent where deliveries need no ack. */
  readonly settlements: Settlements | undefined
}

interface Arguments {
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
}

/** One delivered message. Properties and body are cut out of the read buffer when first asked for. */
export class Delivery implements Incoming {
  readonly #source: DeliverySource
  readonly #args: Arguments
  readonly #content: Content
  #settled = false
  #properties: MessageProperties | undefined

  constructor(source: DeliverySource, args: Arguments, content: Content) {
    this.#source = source
    this.#args = args
    this.#content = content
  }

  get exchange(): string {
    return this.#args.exchange
  }

  get routingKey(): string {
    return this.#args.routingKey
  }

  get queue(): string {
    return this.#source.queue
  }

  get redelivered(): boolean {
    return this.#args.redelivered
  }

  get body(): Uint8Array {
    return this.#content.body
  }

  /** Throws `CodecError` when the publisher wrote properties that cannot be read; brokers pass them on unseen. */
  get properties(): MessageProperties {
    if (this.#properties) return this.#properties
    try {
      this.#properties = this.#content.readProperties(this.#source.strings)
    } catch (cause) {
      throw new CodecError(`The properties of a message in queue "${this.queue}" cannot be read: ${messageOf(cause)}`, { cause })
    }
    return this.#properties
  }

  /** A first delivery is known as such; of later ones only quorum queues (and the built-in broker) keep count. */
  get deliveryCount(): number | undefined {
    if (!this.redelivered) return 0
    let count: unknown
    try {
      count = this.properties.headers?.['x-delivery-count']
    } catch {
      return undefined
    }
    return typeof count === 'number' ? count : undefined
  }

  settle(settlement: Settlement): boolean {
    if (this.#settled) return true
    this.#settled = true
    return this.#source.settlements?.settle(this.#args.deliveryTag, settlement) ?? true
  }
}
