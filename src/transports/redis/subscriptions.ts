import type { Clock } from '../../core/clock.ts'
import { messageOf, TopologyError, UnsupportedError } from '../../core/errors.ts'
import type { Incoming, Settlement, SubscribeOptions, Subscription } from '../../core/transport.ts'
import { Delivery, type Settler } from './delivery.ts'
import type { Link } from './link.ts'
import type { Names } from './names.ts'
import type { Settlements } from './settlements.ts'
import { type Answers, Taking } from './taking.ts'
import { newWaiter, type Waiter, Waiting } from './waiting.ts'

/** Most messages one subscription asks for at a time. */
const BATCH = 250

/** In `state` `cancelling` it still hands on what Redis has given; after `ended` no message can come. */
interface Consuming extends Waiter, Settler {
  readonly options: SubscribeOptions
  readonly consumer: string
  unsettled: number
}

export interface SubscriptionsOptions {
  readonly link: Link
  readonly session: string
  readonly settlements: Settlements
  readonly clock: Clock
  /** Between looks into queues, should nobody have told of what is in them. Milliseconds. */
  readonly pollMs: number
  readonly names: Names
  /** The channel on which this session is told that a queue has something. */
  readonly bell: string
  readonly onUnreadable: (queue: string, error: unknown) => void
}

/** All of a session's deliveries: one script takes messages for every subscription that has room. */
export class Subscriptions {
  readonly #options: SubscriptionsOptions
  readonly #all = new Set<Consuming>()
  /** Fields of deliveries that are not settled. */
  readonly #held = new Set<string>()
  readonly #waiting: Waiting
  readonly #taking: Taking
  #bell: Promise<void> | undefined
  /** Messages are asked for. */
  #asking: Promise<void> | undefined
  #consumers = 0

  constructor(options: SubscriptionsOptions) {
    this.#options = options
    this.#taking = new Taking(options)
    this.#waiting = new Waiting({ ...options, waiters: this.#all, ask: () => this.#pump() })
  }

  get consuming(): boolean {
    return this.#all.size > 0
  }

  get held(): ReadonlySet<string> {
    return this.#held
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    const [argument] = Object.keys(options.arguments)
    if (argument !== undefined) throw new UnsupportedError(`Redis knows no consumer argument ${argument}`)
    const { link, session, names, bell } = this.#options
    await (this.#bell ??= link.listen(bell, this.#ring))
    const consumer = `${session}:${this.#consumers++}`
    await link.ask('subscribe', options.queue, consumer, options.exclusive ? '1' : '0')
    const keys = names.prioritySteps.map((step) => `${names.prefix}${options.queue}${step === 0 ? '' : `${names.sep}${step}`}`)
    const consuming: Consuming = {
      ...newWaiter(keys),
      options,
      consumer,
      unsettled: 0,
      settle: (delivery, settlement) => this.#settle(delivery, settlement, consuming),
    }
    this.#all.add(consuming)
    this.#pump()
    return { cancel: () => this.#cancel(consuming) }
  }

  /** Takes one message for nobody in particular. */
  async get(queue: string): Promise<Incoming | undefined> {
    const { link } = this.#options
    const taken = await this.#taking.get(queue).catch((error: unknown) => {
      throw error instanceof TopologyError ? error : link.verdict(error)
    })
    if (taken === undefined) return undefined
    const { field, received } = taken
    this.#held.add(field)
    return new Delivery(queue, field, received, { settle: (delivery, settlement) => this.#settle(delivery, settlement) })
  }

  /** What a bell says: `+` and a queue that has something, `-` and one that was deleted, or nothing, so that it is heard. */
  readonly #ring = (message: Buffer): void => {
    if (message.byteLength === 0) return
    const bell = message.toString()
    const queue = bell.slice(1)
    for (const consuming of this.#all) {
      if (consuming.options.queue !== queue) continue
      if (bell.startsWith('-')) this.#end(consuming, `queue "${queue}" was deleted`)
      else this.#waiting.rang(consuming)
    }
    this.#pump()
  }

  /** Takes nothing more, and resolves when what Redis has given has arrived. */
  async stop(): Promise<void> {
    for (const consuming of this.#all) consuming.state = 'ended'
    this.#waiting.stop()
    await this.#asking
  }

  async #cancel(consuming: Consuming): Promise<void> {
    if (consuming.state === 'live') consuming.state = 'cancelling'
    // What is on its way is still delivered; what is asked for later leaves this one out.
    await this.#asking
    if (consuming.state === 'ended') return
    consuming.state = 'ended'
    this.#all.delete(consuming)
    if (!this.#options.link.open) return
    await this.#options.link.ask('cancel', consuming.options.queue, consuming.consumer).catch(() => undefined)
  }

  #end(consuming: Consuming, reason: string): void {
    if (consuming.state === 'ended') return
    const wasLive = consuming.state === 'live'
    consuming.state = 'ended'
    this.#all.delete(consuming)
    if (wasLive) consuming.options.onCancelled(reason)
  }

  #room({ options: { prefetch, noAck }, unsettled }: Consuming): number {
    return noAck || prefetch === 0 ? BATCH : Math.min(BATCH, prefetch - unsettled)
  }

  #pump(): void {
    if (this.#asking || !this.#options.link.open) return
    const asking = [...this.#all].filter((consuming) => consuming.state === 'live' && !consuming.empty && this.#room(consuming) > 0)
    if (asking.length === 0) return this.#waiting.rest()
    const asks = asking.map((consuming) => {
      this.#waiting.asked(consuming)
      const { options, consumer } = consuming
      return { queue: options.queue, wanted: this.#room(consuming), noAck: options.noAck, consumer }
    })
    const wanted = asks.map((ask) => ask.wanted)
    this.#asking = this.#taking.take(asks).then(
      (answers) => this.#deliver(asking, wanted, answers),
      (error: unknown) => {
        this.#asking = undefined
        this.#failed(asking, error)
      },
    )
  }

  /** Whoever was refused is told; when that cannot be said, the session ends. */
  #failed(asking: readonly Consuming[], error: unknown): void {
    const verdict = this.#options.link.verdict(error)
    if (!(verdict instanceof TopologyError)) return
    for (const consuming of asking) this.#end(consuming, messageOf(verdict))
    this.#pump()
  }

  #deliver(asking: readonly Consuming[], wanted: readonly number[], { answers, full }: Answers): void {
    this.#asking = undefined
    if (!this.#options.link.open) return
    const deliveries: [Consuming, Delivery][] = []
    for (const [i, consuming] of asking.entries()) {
      const { queue, noAck } = consuming.options
      const { refusal, got, messages } = answers[i]!
      if (refusal !== undefined) {
        this.#end(consuming, refusal)
        continue
      }
      this.#waiting.answered(consuming, { got, all: got === wanted[i] })
      for (const { field, received } of messages) {
        if (!noAck) {
          this.#held.add(field)
          consuming.unsettled++
        }
        deliveries.push([consuming, new Delivery(queue, field, received, noAck ? undefined : consuming)])
      }
    }
    if (full) for (const consuming of asking) consuming.empty = false
    // The next ones are on their way while these are handled.
    this.#pump()
    for (const [consuming, delivery] of deliveries) {
      // Taken for one that has ended meanwhile.
      if (consuming.state === 'ended') void delivery.settle('release')
      else consuming.options.onDelivery(delivery)
    }
    this.#pump()
  }

  #settle({ field }: Delivery, settlement: Settlement, consuming?: Consuming): boolean | Promise<boolean> {
    this.#held.delete(field)
    if (!this.#options.link.open) return false
    const told = this.#options.settlements.add(field, settlement)
    if (consuming) {
      consuming.unsettled--
      // In a microtask of its own, behind that which tells what was settled.
      if (!this.#asking && !consuming.empty) queueMicrotask(() => this.#pump())
    }
    return told
  }
}
