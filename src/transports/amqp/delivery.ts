import type { Content } from '../../amqp/index.ts'
import { CodecError, messageOf } from '../../core/errors.ts'
import type { MessageProperties } from '../../core/message.ts'
import type { Incoming, Settlement } from '../../core/transport.ts'
import type { Settlements } from './settlements.ts'

/** One delivered message. Properties and body are cut out of the read buffer when first asked for. */
export class Delivery implements Incoming {
  readonly exchange: string
  readonly routingKey: string
  readonly queue: string
  readonly redelivered: boolean
  readonly #content: Content
  readonly #tag: number
  /** Absent for a delivery that needs no ack. */
  #settlements: Settlements | undefined
  #properties: MessageProperties | undefined

  constructor(
    queue: string,
    args: { readonly deliveryTag: number; readonly redelivered: boolean; readonly exchange: string; readonly routingKey: string },
    content: Content,
    settlements: Settlements | undefined,
  ) {
    this.queue = queue
    this.exchange = args.exchange
    this.routingKey = args.routingKey
    this.redelivered = args.redelivered
    this.#tag = args.deliveryTag
    this.#content = content
    this.#settlements = settlements
  }

  get body(): Uint8Array {
    return this.#content.body
  }

  /** Throws `CodecError` when the publisher wrote properties that cannot be read; brokers pass them on unseen. */
  get properties(): MessageProperties {
    if (this.#properties) return this.#properties
    try {
      this.#properties = this.#content.readProperties()
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
    const settlements = this.#settlements
    if (settlements === undefined) return true
    this.#settlements = undefined
    return settlements.settle(this.#tag, settlement)
  }
}
