import type { Message } from '@aws-sdk/client-sqs'
import { type Clock, sleep } from '../../core/clock.ts'
import { ConnectionError, UnsupportedError } from '../../core/errors.ts'
import type { Incoming, SubscribeOptions, Subscription } from '../../core/transport.ts'
import type { Client } from './client.ts'
import { SqsFailure } from './failure.ts'
import type { Receiver, Source } from './receiver.ts'
import type { Topology } from './topology.ts'

export interface PollingOptions {
  readonly client: Client
  readonly receiver: Receiver
  readonly topology: Topology
  readonly clock: Clock
  /** Of a long poll. Seconds. */
  readonly wait: number
  /** After a short poll that found nothing. Milliseconds. */
  readonly pollingIntervalMs: number
}

/** SQS hands out no more at a time. */
const MOST = 10
/** A second poll and more are begun while they come back full. */
const MOST_POLLS = 4
/** SQS has had enough of us, or holds as many messages in flight as it can. Milliseconds. */
const THROTTLED_MS = 1_000
/** A poll that ends by itself gives back what it brought. One that is cut off may have been given a message, which then waits for its lease to end. Milliseconds. */
const LAST_POLL_MS = 1_100

/** Polls a queue for one consumer. Rejects with `TopologyError` and `UnsupportedError`. */
export async function subscribe(options: SubscribeOptions, polling: PollingOptions): Promise<SqsSubscription> {
  const { queue, exclusive, arguments: given } = options
  if (exclusive)
    throw new UnsupportedError(`Consuming from queue "${queue}": SQS lets nobody be alone on a queue, so exclusive cannot be kept`)
  const argument = Object.keys(given)[0]
  if (argument !== undefined) throw new UnsupportedError(`Consuming from queue "${queue}": SQS knows no argument ${argument}`)
  const url = await polling.topology.urlOf(queue)
  const subscription = new SqsSubscription(options, polling, { url, queue })
  await subscription.begin()
  return subscription
}

export class SqsSubscription implements Subscription {
  readonly #options: SubscribeOptions
  readonly #polling: PollingOptions
  readonly #source: Source
  readonly #stopping = new AbortController()
  readonly #polls = new Set<Promise<void>>()
  #live = true
  #held = 0
  /** Asked for by polls under way. */
  #asked = 0
  #busy = false
  #cancelled: Promise<void> | undefined

  constructor(options: SubscribeOptions, polling: PollingOptions, source: Source) {
    this.#options = options
    this.#polling = polling
    this.#source = source
  }

  get queue(): string {
    return this.#source.queue
  }

  /** The first look tells whether we may look at all. */
  async begin(): Promise<void> {
    const { receiver, topology } = this.#polling
    const { queue, url } = this.#source
    try {
      await this.#handle(await receiver.receive(this.#source, { most: Math.min(MOST, this.#room), wait: 0 }))
    } catch (error) {
      this.#live = false
      throw topology.refused('Consuming from', queue, url, error)
    }
    this.#pump()
  }

  cancel(): Promise<void> {
    this.#cancelled ??= this.#cancel()
    return this.#cancelled
  }

  /** Ends deliveries at once, and whatever is under way. */
  stop(): void {
    this.#live = false
    this.#stopping.abort()
  }

  async #cancel(): Promise<void> {
    this.#live = false
    const timer = this.#polling.clock.after(LAST_POLL_MS, () => this.#stopping.abort())
    await Promise.all(this.#polls)
    timer.cancel()
  }

  get #room(): number {
    const { noAck, prefetch } = this.#options
    return noAck || prefetch === 0 ? Infinity : prefetch - this.#held - this.#asked
  }

  readonly #pump = (): void => {
    while (this.#live && this.#room > 0 && (this.#polls.size === 0 || (this.#busy && this.#polls.size < MOST_POLLS))) {
      const poll = this.#poll(Math.min(MOST, this.#room)).finally(() => {
        this.#polls.delete(poll)
        this.#pump()
      })
      this.#polls.add(poll)
    }
  }

  /** Never rejects. */
  async #poll(most: number): Promise<void> {
    const { client, receiver, wait, pollingIntervalMs } = this.#polling
    this.#asked += most
    try {
      const messages = await receiver.receive(this.#source, { most, wait, signal: this.#stopping.signal })
      this.#asked -= most
      most = 0
      this.#busy = messages.length === MOST
      if (this.#live) await this.#handle(messages)
      else await receiver.giveBack(this.#source, messages)
      if (messages.length === 0 && wait === 0) await this.#pause(pollingIntervalMs)
    } catch (error) {
      if (!client.open || this.#stopping.signal.aborted || error instanceof ConnectionError) {
        this.#live = false
        return
      }
      if (error instanceof SqsFailure && error.kind === 'throttled') return await this.#pause(THROTTLED_MS)
      this.#end(error)
    } finally {
      this.#asked -= most
    }
  }

  async #handle(messages: readonly Message[]): Promise<void> {
    const { receiver } = this.#polling
    for (const message of messages) {
      const incoming = this.#options.noAck
        ? await receiver.takeForGood(this.#source, message)
        : receiver.take(this.#source, message, this.#onSettled)
      if (!incoming) continue
      if (!this.#options.noAck) this.#held++
      this.#deliver(incoming)
    }
  }

  #deliver(incoming: Incoming): void {
    if (this.#polling.client.open) this.#options.onDelivery(incoming)
  }

  readonly #onSettled = (): void => {
    this.#held--
    this.#pump()
  }

  #end(error: unknown): void {
    if (!this.#live) return
    this.stop()
    const { queue, url } = this.#source
    const { message } = this.#polling.topology.refused('Consuming from', queue, url, error)
    this.#options.onCancelled(message)
  }

  #pause(ms: number): Promise<void> {
    const { clock } = this.#polling
    return sleep(ms, { clock, signal: this.#stopping.signal, unref: true }).catch(() => undefined)
  }
}
