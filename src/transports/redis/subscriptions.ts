import type { Clock } from '../../core/clock.ts'
import { messageOf, TopologyError, UnsupportedError } from '../../core/errors.ts'
import type { Incoming, Settlement, SubscribeOptions, Subscription } from '../../core/transport.ts'
import { Delivery, type Settler } from './delivery.ts'
import { receive, type Received } from './envelope.ts'
import type { Link, Reply } from './link.ts'
import type { Names } from './names.ts'
import type { Settlements } from './settlements.ts'
import { newWaiter, type Waiter, Waiting } from './waiting.ts'

/** Most messages one subscription asks for at a time. */
const BATCH = 250
/** Bytes of messages taken at a time, but for the last one. */
const BATCH_BYTES = 1 << 20

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
  readonly onUnreadable: (queue: string, error: unknown) => void
}

/** All of a session's deliveries: one script takes messages for every subscription that has room. */
export class Subscriptions {
  readonly #options: SubscriptionsOptions
  readonly #all = new Set<Consuming>()
  /** Fields of deliveries that are not settled. */
  readonly #held = new Set<string>()
  readonly #waiting: Waiting
  #taking: Promise<void> | undefined
  #consumers = 0
  #taken = 0

  constructor(options: SubscriptionsOptions) {
    this.#options = options
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
    const { link, session, names } = this.#options
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
    let answers: readonly Reply[]
    try {
      answers = (await this.#take([[queue, 1, false, '', this.#taken++]])) as readonly Reply[]
    } catch (error) {
      throw this.#options.link.verdict(error)
    }
    const [field, text] = this.#messages(answers[0]!, queue)
    if (field === undefined || text === undefined) return undefined
    const received = this.#read(queue, field, text)
    if (received === undefined) return this.get(queue)
    this.#held.add(field.toString())
    return new Delivery(queue, field.toString(), received, { settle: (delivery, settlement) => this.#settle(delivery, settlement) })
  }

  /** What a bell says: `+` and a queue that has something, `-` and one that was deleted. */
  readonly ring = (message: Buffer): void => {
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
    await this.#taking
  }

  async #cancel(consuming: Consuming): Promise<void> {
    if (consuming.state === 'live') consuming.state = 'cancelling'
    // What is on its way is still delivered; what is asked for later leaves this one out.
    await this.#taking
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
    if (this.#taking || !this.#options.link.open) return
    const asking = [...this.#all].filter((consuming) => consuming.state === 'live' && !consuming.empty && this.#room(consuming) > 0)
    if (asking.length === 0) return this.#waiting.rest()
    const asks = asking.map((consuming) => {
      const { queue, noAck } = consuming.options
      const wanted = this.#room(consuming)
      this.#waiting.asked(consuming)
      const first = this.#taken
      this.#taken += wanted
      return [queue, wanted, noAck, consuming.consumer, first] as const
    })
    this.#taking = this.#take(asks).then(
      (answers) =>
        this.#deliver(
          asking,
          asks.map(([, wanted]) => wanted),
          answers as readonly Reply[],
        ),
      (error: unknown) => {
        this.#taking = undefined
        this.#failed(asking, error)
      },
    )
  }

  #take(asks: readonly (readonly [string, number, boolean, string, number])[]): Promise<Reply> {
    return this.#options.link.runForBytes('take', JSON.stringify(asks), String(BATCH_BYTES))
  }

  /** Whoever was refused is told; when that cannot be said, the session ends. */
  #failed(asking: readonly Consuming[], error: unknown): void {
    const verdict = this.#options.link.verdict(error)
    if (!(verdict instanceof TopologyError)) return
    for (const consuming of asking) this.#end(consuming, messageOf(verdict))
    this.#pump()
  }

  #deliver(asking: readonly Consuming[], wanted: readonly number[], answers: readonly Reply[]): void {
    this.#taking = undefined
    if (!this.#options.link.open) return
    const deliveries: [Consuming, Delivery][] = []
    let bytes = 0
    for (const [i, consuming] of asking.entries()) {
      const { queue, noAck } = consuming.options
      const answer = answers[i]!
      if (Buffer.isBuffer(answer)) {
        const text = answer.toString()
        this.#end(consuming, text === 'gone' ? `queue "${queue}" was deleted` : `queue "${queue}" cannot be read: ${text}`)
        continue
      }
      const messages = this.#messages(answer, queue)
      this.#waiting.answered(consuming, { got: messages.length / 2, all: messages.length === 2 * wanted[i]! })
      for (let m = 0; m < messages.length; m += 2) {
        const text = messages[m + 1]!
        bytes += text.byteLength
        const field = messages[m]!.toString('latin1')
        const received = this.#read(queue, messages[m]!, text)
        if (received === undefined) continue
        if (!noAck) {
          this.#held.add(field)
          consuming.unsettled++
        }
        deliveries.push([consuming, new Delivery(queue, field, received, noAck ? undefined : consuming)])
      }
    }
    // It was their size that ended it, and not the queues.
    if (bytes >= BATCH_BYTES) for (const consuming of asking) consuming.empty = false
    // The next ones are on their way while these are handled.
    this.#pump()
    for (const [consuming, delivery] of deliveries) {
      // Taken for one that has ended meanwhile.
      if (consuming.state === 'ended') void delivery.settle('release')
      else consuming.options.onDelivery(delivery)
    }
    this.#pump()
  }

  #messages(answer: Reply, queue: string): readonly Buffer[] {
    if (Buffer.isBuffer(answer)) throw new TopologyError(`Fetching from queue "${queue}" was refused: ${answer.toString()} (406)`, 406)
    return answer as readonly Buffer[]
  }

  /** What cannot be read is put aside; undefined then. */
  #read(queue: string, field: Buffer, text: Buffer): Received | undefined {
    try {
      return receive(text)
    } catch (error) {
      const { link, onUnreadable } = this.#options
      const put = link.run('putAside', queue, field.toString(), field.byteLength === 0 ? text : '')
      put.catch((failure: unknown) => void link.verdict(failure))
      onUnreadable(queue, error)
      return undefined
    }
  }

  #settle({ field }: Delivery, settlement: Settlement, consuming?: Consuming): boolean | Promise<boolean> {
    this.#held.delete(field)
    if (!this.#options.link.open) return false
    const told = this.#options.settlements.add(field, settlement)
    if (consuming) {
      consuming.unsettled--
      // In a microtask of its own, behind that which tells what was settled.
      if (!this.#taking && !consuming.empty) queueMicrotask(() => this.#pump())
    }
    return told
  }
}
