/** Single things to be sent, collected into the batches of up to ten that SQS takes, each with a result of its own. */

export interface BatchOptions<Entry, Result> {
  /** Resolves with the results in the order of the entries; undefined where there is no answer, because the session is dead. */
  readonly send: (url: string, entries: readonly Entry[]) => Promise<readonly Result[] | undefined>
  /** Batches under way at a time for one queue; 1 keeps the order. */
  readonly lanes: number
  readonly sizeOf?: (entry: Entry) => number
}

const MOST_ENTRIES = 10
/** All that a batch may hold in any region and account, unless a single message needs more. Bytes. */
const MOST_BYTES = 256 * 1024

interface Waiting<Entry, Result> {
  readonly entry: Entry
  readonly settle: (result: Result) => void
}

interface Lane<Entry, Result> {
  readonly waiting: Waiting<Entry, Result>[]
  underWay: number
}

export class Batches<Entry, Result> {
  readonly #options: BatchOptions<Entry, Result>
  readonly #lanes = new Map<string, Lane<Entry, Result>>()
  #idle: (() => void)[] = []

  constructor(options: BatchOptions<Entry, Result>) {
    this.#options = options
  }

  /** `settle` is called with what became of the entry, unless the session dies first. */
  add(url: string, entry: Entry, settle: (result: Result) => void): void {
    const lane = this.#lanes.get(url) ?? { waiting: [], underWay: 0 }
    this.#lanes.set(url, lane)
    // What else is added in this turn goes along.
    if (lane.waiting.push({ entry, settle }) === 1 && lane.underWay === 0) queueMicrotask(() => this.#advance(url, lane))
    else if (lane.waiting.length >= MOST_ENTRIES) this.#advance(url, lane)
  }

  /** Resolves when nothing is left to send. */
  async idle(): Promise<void> {
    if (this.#lanes.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #advance(url: string, lane: Lane<Entry, Result>): void {
    while (lane.waiting.length > 0 && lane.underWay < this.#options.lanes) void this.#send(url, lane, this.#take(lane))
    if (lane.waiting.length > 0 || lane.underWay > 0) return
    this.#lanes.delete(url)
    if (this.#lanes.size > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  #take(lane: Lane<Entry, Result>): Waiting<Entry, Result>[] {
    const { sizeOf } = this.#options
    let count = 0
    for (let bytes = 0; count < Math.min(lane.waiting.length, MOST_ENTRIES); count++) {
      bytes += sizeOf?.(lane.waiting[count]!.entry) ?? 0
      if (bytes > MOST_BYTES && count > 0) break
    }
    return lane.waiting.splice(0, count)
  }

  async #send(url: string, lane: Lane<Entry, Result>, batch: readonly Waiting<Entry, Result>[]): Promise<void> {
    lane.underWay++
    const results = await this.#options.send(
      url,
      batch.map(({ entry }) => entry),
    )
    lane.underWay--
    if (results) for (const [i, { settle }] of batch.entries()) settle(results[i]!)
    this.#advance(url, lane)
  }
}
