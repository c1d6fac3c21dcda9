/** A subscription that outlives its sessions: taken up again after every loss, drained and given back at a stop. */
import { type Clock, sleep } from './clock.ts'
import type { Codecs } from './codecs.ts'
import { Delivery } from './delivery.ts'
import type { Queue } from './entities.ts'
import { LinkedList } from './linked-list.ts'
import type { Headers } from './message.ts'
import type { Incoming, Session, Settlement, Subscription } from './transport.ts'

/** Settles the delivery itself. What it throws goes to `onEvent`, and the delivery back to the queue after a pause. */
export type DeliveryHandler = (delivery: Delivery) => void | Promise<void>

export interface ConsumerOptions {
  readonly queue: Queue
  readonly handler: DeliveryHandler
  readonly prefetch: number
  readonly exclusive: boolean
  readonly noAck: boolean
  readonly ordered: boolean
  readonly arguments: Headers
  readonly codecs: Codecs
  readonly clock: Clock
  readonly onHandlerFailed: (error: unknown, delivery: Delivery) => void
  /** The broker ended the subscription; the owner subscribes again on the same session. */
  readonly onCancelled: (consumer: Consumer, reason: string) => void
  readonly onStopped: (consumer: Consumer) => void
}

/** Before a delivery whose handler threw goes back; it keeps a broken handler from spinning. Milliseconds. */
const REQUEUE_PAUSE_MS = 1_000

export class Consumer {
  readonly #options: ConsumerOptions
  readonly #unsettled = new LinkedList<Delivery>()
  #queueName: string
  #subscription: Subscription | undefined
  #handling = 0
  #stopping = false
  /** Not given back one by one, see `#onSettling`. */
  #keptBack = 0
  #idle: (() => void) | undefined

  /** @internal */
  constructor(options: ConsumerOptions) {
    this.#options = options
    this.#queueName = options.queue.name
  }

  /** The queue's name; for a server-named queue it changes with each connection. */
  get queueName(): string {
    return this.#queueName
  }

  get subscribed(): boolean {
    return this.#subscription !== undefined
  }

  /** Deliveries with a handler at work or not settled yet. */
  get inFlight(): number {
    return Math.max(this.#handling, this.#unsettled.size)
  }

  /**
   * Cancels, waits until everything held is settled or `deadlineMs` is over, and gives back the rest. Resolves with
   * the number given back. May be called twice. An ordered one holds its place until then, see `ConsumeOptions.ordered`.
   */
  async stop(options: { deadlineMs?: number } = {}): Promise<number> {
    const { deadlineMs = 25_000 } = options
    const { ordered } = this.#options
    this.#stopping = true
    if (!ordered || this.#unsettled.size === 0) await this.#subscription?.cancel()
    if (this.inFlight > 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#idle = resolve
      const timer = this.#options.clock.after(deadlineMs, resolve)
      await promise
      timer.cancel()
    }
    const left = this.#unsettled.toArray()
    await Promise.all(left.map((delivery) => delivery.release()))
    this.#subscription = undefined
    this.#options.onStopped(this)
    return ordered ? this.#keptBack : left.length
  }

  /** Declares the queue and subscribes on a live session. @internal */
  async subscribe(session: Session): Promise<void> {
    if (this.#stopping) return
    const { queue, prefetch, exclusive, noAck } = this.#options
    const { name } = await session.declareQueue(queue)
    this.#queueName = name
    const subscription = await session.subscribe({
      queue: name,
      prefetch,
      exclusive,
      noAck,
      arguments: this.#options.arguments,
      onDelivery: (incoming) => this.#receive(incoming),
      onCancelled: (reason) => {
        this.#subscription = undefined
        if (!this.#stopping) this.#options.onCancelled(this, reason)
      },
    })
    this.#subscription = subscription
    // Stopped while the broker was answering: nobody else knows of this subscription.
    if (this.#stopping) await subscription.cancel()
  }

  /** The session is gone, and with it the right to settle what it delivered. @internal */
  lost(): void {
    this.#subscription = undefined
    for (const delivery of this.#unsettled.toArray()) {
      this.#unsettled.delete(delivery)
      delivery.markLost()
    }
    this.#checkIdle()
  }

  #receive(incoming: Incoming): void {
    const delivery = new Delivery(incoming, this.#options.codecs, this.#onSettling)
    if (!this.#options.noAck) this.#unsettled.add(delivery)
    let result: void | Promise<void>
    try {
      result = this.#options.handler(delivery)
    } catch (error) {
      void this.#failed(error, delivery)
      return
    }
    if (!(result instanceof Promise)) return
    this.#handling++
    void result.then(this.#onHandled, (error: unknown) => this.#failed(error, delivery).finally(this.#onHandled))
  }

  readonly #onHandled = (): void => {
    this.#handling--
    if (this.#idle) this.#checkIdle()
  }

  async #failed(error: unknown, delivery: Delivery): Promise<void> {
    this.#options.onHandlerFailed(error, delivery)
    if (delivery.list !== this.#unsettled) return
    if (!this.#stopping) await sleep(REQUEUE_PAUSE_MS, { clock: this.#options.clock, unref: true })
    await delivery.requeue()
  }

  readonly #onSettling = (delivery: Delivery, settlement: Settlement): boolean => {
    this.#unsettled.delete(delivery)
    const telling = !this.#stopping || !this.#options.ordered || this.#inOrder(settlement)
    if (this.#idle) this.#checkIdle()
    return telling
  }

  /**
   * Of the last delivery of an ordered consumer that stops. Done, it is the next consumer's turn: the broker reads the cancel
   * before the ack, and so has no reason to send us another. Not done, it must come before all that waits, which only the
   * end of the connection does: a cancel first would let the next consumer begin with a later message.
   */
  #inOrder(settlement: Settlement): boolean {
    if (settlement === 'ack' || settlement === 'reject') {
      void this.#subscription?.cancel()
      return true
    }
    this.#keptBack++
    return false
  }

  #checkIdle(): void {
    if (this.inFlight === 0) this.#idle?.()
  }
}
