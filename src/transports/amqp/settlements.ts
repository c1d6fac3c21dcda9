import type { Channel, FrameWriter } from '../../amqp/index.ts'
import type { Settlement } from '../../core/transport.ts'

const OPEN = 1
/** Acked by the consumer, and the broker will be told before the next flush. */
const ACKED = 2
const TOLD = 0

/**
 * What became of the deliveries of one channel, on which tags count up from 1 without gaps. Acks wait for the end of the
 * turn: then all that are contiguous become one `multiple` ack, which saves the broker as much as it saves us.
 */
export class Settlements {
  readonly #channel: Channel
  readonly #writer: FrameWriter
  readonly #onAllSettled: () => void
  /** One byte for each tag above `#floor`, at the tag modulo the length. */
  #states = new Uint8Array(256)
  /** The broker was told of every tag up to this one. */
  #floor = 0
  #last = 0
  #open = 0
  #acked: number[] = []
  readonly #flush = (): void => this.#tellAcks()

  /** `onAllSettled` is called whenever the last open delivery has been settled. */
  constructor(channel: Channel, writer: FrameWriter, onAllSettled: () => void) {
    this.#channel = channel
    this.#writer = writer
    this.#onAllSettled = onAllSettled
  }

  /** Deliveries not yet settled. */
  get open(): number {
    return this.#open
  }

  delivered(tag: number): void {
    if (tag - this.#floor > this.#states.length) this.#makeRoom()
    this.#states[tag & (this.#states.length - 1)] = OPEN
    this.#last = tag
    this.#open++
  }

  /** True when the broker was told, or will be with the next flush; false when the channel is gone. Each tag once. */
  settle(tag: number, settlement: Settlement): boolean {
    if (!this.#channel.open) return false
    if (settlement === 'ack') {
      this.#states[tag & (this.#states.length - 1)] = ACKED
      if (this.#acked.push(tag) === 1) this.#writer.beforeFlush(this.#flush)
    } else {
      // Written at once, so that it stands before any `multiple` ack that passes over this tag.
      this.#states[tag & (this.#states.length - 1)] = TOLD
      if (settlement === 'release') this.#channel.send('basic.nack', { deliveryTag: tag, requeue: true })
      else this.#channel.send('basic.reject', { deliveryTag: tag, requeue: settlement === 'requeue' })
    }
    if (--this.#open === 0) this.#onAllSettled()
    return true
  }

  /** Tells the broker now what waits for the end of the turn. */
  tellNow(): void {
    this.#tellAcks()
  }

  #tellAcks(): void {
    const acked = this.#acked
    if (acked.length === 0) return
    this.#acked = []
    const states = this.#states
    const mask = states.length - 1
    let top = this.#floor
    let highestAcked = 0
    let count = 0
    while (top < this.#last) {
      const state = states[(top + 1) & mask]
      if (state === OPEN) break
      top++
      if (state !== ACKED) continue
      // RabbitMQ refuses a tag it no longer knows, so the ack names the highest one that is still open there.
      highestAcked = top
      count++
      states[top & mask] = TOLD
    }
    this.#floor = top
    if (count > 0) this.#channel.send('basic.ack', { deliveryTag: highestAcked, multiple: count > 1 })
    if (count === acked.length) return
    for (const tag of acked) {
      if (tag <= top) continue
      states[tag & mask] = TOLD
      this.#channel.send('basic.ack', { deliveryTag: tag })
    }
  }

  #makeRoom(): void {
    const old = this.#states
    // Acks move the floor; a consumer that only ever rejects has room at the bottom all the same.
    while (this.#floor < this.#last && old[(this.#floor + 1) & (old.length - 1)] === TOLD) this.#floor++
    if (this.#last - this.#floor < old.length) return
    const grown = new Uint8Array(old.length * 2)
    for (let tag = this.#floor + 1; tag <= this.#last; tag++) grown[tag & (grown.length - 1)] = old[tag & (old.length - 1)] ?? TOLD
    this.#states = grown
  }
}
