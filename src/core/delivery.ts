/** One message on its way through a handler: read it, then settle it, once. */
import type { Codecs } from './codecs.ts'
import type { CodecError } from './errors.ts'
import type { MessageProperties } from './message.ts'
import type { Linked } from './linked-list.ts'
import type { Incoming, Settlement } from './transport.ts'

/** Called once, before the broker is told; false keeps it from being told. */
export type OnSettling = (delivery: Delivery, settlement: Settlement) => boolean

export class Delivery implements Linked<Delivery> {
  /** For the consumer that holds it. @internal */
  list: object | undefined
  /** @internal */
  previous: Delivery | undefined
  /** @internal */
  next: Delivery | undefined
  readonly #incoming: Incoming
  readonly #codecs: Codecs
  readonly #onSettling: OnSettling
  #settled = false
  #lost = false
  #payload: unknown
  #decoded = false

  /** @internal */
  constructor(incoming: Incoming, codecs: Codecs, onSettling: OnSettling) {
    this.#incoming = incoming
    this.#codecs = codecs
    this.#onSettling = onSettling
  }

  get body(): Uint8Array {
    return this.#incoming.body
  }

  /** Empty where their bytes cannot be read; `unreadable` then says why. */
  get properties(): MessageProperties {
    return this.unreadable === undefined ? this.#incoming.properties : {}
  }

  /** Why there are no properties and no payload; undefined for a message that can be read. */
  get unreadable(): CodecError | undefined {
    try {
      void this.#incoming.properties
      return undefined
    } catch (error) {
      return error as CodecError
    }
  }

  get exchange(): string {
    return this.#incoming.exchange
  }

  get routingKey(): string {
    return this.#incoming.routingKey
  }

  get queue(): string {
    return this.#incoming.queue
  }

  get redelivered(): boolean {
    return this.#incoming.redelivered
  }

  /** How often it was delivered before, where the broker counts; else undefined. */
  get deliveryCount(): number | undefined {
    return this.#incoming.deliveryCount
  }

  /** True once `ack`, `reject`, `requeue` or `release` was called. */
  get settled(): boolean {
    return this.#settled
  }

  /** The link it came on is gone: settling means nothing any more, and the broker will deliver it again. */
  get lost(): boolean {
    return this.#lost
  }

  /** @internal */
  markLost(): void {
    this.#lost = true
  }

  /** The body, decoded by its content type. Throws `CodecError`; decoded once. */
  get payload(): unknown {
    if (!this.#decoded) {
      this.#payload = this.#codecs.decode(this.body, this.#incoming.properties)
      this.#decoded = true
    }
    return this.#payload
  }

  /** The body as text, whatever its content type. Throws `CodecError`. */
  text(): string {
    return this.#codecs.text(this.body, this.#incoming.properties)
  }

  /**
   * Done: the broker forgets it. Resolves true when the broker was told, false when the link it came on is gone, so
   * that it will come again; never rejects. The same holds for the three below. Only the first call counts.
   */
  ack(): Promise<boolean> {
    return this.#settle('ack')
  }

  /** Not wanted: dead-lettered where the queue has a dead letter exchange, else dropped. */
  reject(): Promise<boolean> {
    return this.#settle('reject')
  }

  /** Failed, try again: back to the queue at once, counted as a delivery where the broker counts. */
  requeue(): Promise<boolean> {
    return this.#settle('requeue')
  }

  /** Given back untouched, as at a stop. */
  release(): Promise<boolean> {
    return this.#settle('release')
  }

  #settle(settlement: Settlement): Promise<boolean> {
    if (this.#settled) return SETTLED_BEFORE
    this.#settled = true
    if (!this.#onSettling(this, settlement)) return NOT_TOLD
    const told = this.#incoming.settle(settlement)
    // Shared promises: at full speed an allocation per ack would show.
    return typeof told === 'boolean' ? (told ? TOLD : NOT_TOLD) : told
  }
}

const TOLD = Promise.resolve(true)
const NOT_TOLD = Promise.resolve(false)
const SETTLED_BEFORE = NOT_TOLD
