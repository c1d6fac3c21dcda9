/** Messages that are ours for a while: their leases renewed as long as they are held, and told to SQS in batches when they are settled. */
import type { Clock, Timer } from '../../core/clock.ts'
import { Batches } from './batches.ts'
import type { Client } from './client.ts'
import { SqsFailure } from './failure.ts'

/** One receipt of one message. */
export interface Held {
  readonly url: string
  readonly receipt: string
}

interface Change {
  readonly receipt: string
  readonly seconds: number
}

export interface HoldingOptions {
  readonly client: Client
  readonly clock: Clock
  /** Seconds. */
  readonly lease: number
}

/** Deletes are settled in any order, and a slow batch is not to hold up the next. */
const LANES = 4

export class Holding {
  readonly #options: HoldingOptions
  readonly #held = new Set<Held>()
  readonly #deletes: Batches<string, boolean>
  readonly #visibility: Batches<Change, boolean>
  #timer: Timer | undefined

  constructor(options: HoldingOptions) {
    this.#options = options
    const { client } = options
    this.#deletes = new Batches({
      lanes: LANES,
      send: (url, receipts) =>
        told(receipts.length, async () => {
          const Entries = receipts.map((ReceiptHandle, i) => ({ Id: String(i), ReceiptHandle }))
          return client.call((sqs) => sqs.deleteMessageBatch({ QueueUrl: url, Entries }))
        }),
    })
    this.#visibility = new Batches({
      lanes: LANES,
      send: (url, changes) =>
        told(changes.length, async () => {
          const Entries = changes.map(({ receipt, seconds }, i) => ({ Id: String(i), ReceiptHandle: receipt, VisibilityTimeout: seconds }))
          return client.call((sqs) => sqs.changeMessageVisibilityBatch({ QueueUrl: url, Entries }))
        }),
    })
  }

  /** Renewed from now on, until it is settled. */
  hold(held: Held): void {
    this.#held.add(held)
    this.#timer ??= this.#schedule()
  }

  /** SQS forgets the message. False where it was not told, or the message is not ours any more: it may come again. */
  delete(held: Held): Promise<boolean> {
    this.#held.delete(held)
    return new Promise((resolve) => this.#deletes.add(held.url, held.receipt, resolve))
  }

  /** Others may have it, at once or after a while. Resolves as `delete` does. */
  giveBack(held: Held, afterSeconds = 0): Promise<boolean> {
    this.#held.delete(held)
    return this.#change(held, afterSeconds)
  }

  /** No longer renewed: it comes again when its lease is over. */
  letGo(held: Held): void {
    this.#held.delete(held)
  }

  /** Gives back all that is held, and resolves when SQS was told of everything. */
  async end(): Promise<void> {
    this.#timer?.cancel()
    for (const held of this.#held) void this.giveBack(held)
    await Promise.all([this.#deletes.idle(), this.#visibility.idle()])
  }

  #schedule(): Timer {
    const { clock, lease } = this.#options
    // Two renewals may fail before a lease is over.
    return clock.after((lease * 1_000) / 3, () => this.#renew(), { unref: true })
  }

  #renew(): void {
    for (const held of this.#held) void this.#change(held, this.#options.lease)
    this.#timer = this.#held.size > 0 ? this.#schedule() : undefined
  }

  #change({ url, receipt }: Held, seconds: number): Promise<boolean> {
    return new Promise((resolve) => this.#visibility.add(url, { receipt, seconds }, resolve))
  }
}

interface BatchAnswer {
  readonly Failed?: readonly { readonly Id: string | undefined }[] | undefined
}

/** For each entry whether it was done; none where the whole batch failed. What SQS was not told will come again, and nobody is told twice. */
async function told(count: number, ask: () => Promise<BatchAnswer>): Promise<boolean[]> {
  const all = Array.from({ length: count }, (_, i) => String(i))
  try {
    const failed = new Set((await ask()).Failed?.map(({ Id }) => Id))
    return all.map((id) => !failed.has(id))
  } catch (error) {
    if (error instanceof SqsFailure || error instanceof Error) return all.map(() => false)
    throw error
  }
}
