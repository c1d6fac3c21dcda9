import type { Timer } from '../../core/clock.ts'
import type { DeathReason } from '../../core/dead-letter.ts'
import type { Headers } from '../../core/message.ts'
import type { QueueSettings } from './arguments.ts'
import { Consumers } from './consumer.ts'
import { type Budget, Lane } from './lane.ts'
import { type Entry, type Message, sizeOf } from './message.ts'
import { queueing } from './properties.ts'
import type { StoredMessage } from './store.ts'

/** What a queue needs of the engine around it. */
export interface QueueHost {
  readonly budget: Budget
  /** Milliseconds on the engine's wall clock. */
  now(): number
  nextSeq(): number
  after(ms: number, callback: () => void): Timer
  /** Absent where nothing is stored. */
  readonly page: ((queue: Queue, lane: number, after: number, limit: number, maxBytes: number) => StoredMessage[]) | undefined
  /** Messages with lower numbers may have been delivered in a life of the broker that ended without goodbye. */
  readonly suspectBelow: number
  /** The message has left the queue: dead-letters it or forgets it. */
  die(entry: Entry, reason: DeathReason): void
  /** Asks for `pump` soon. */
  touch(queue: Queue): void
  /** Not used for as long as `x-expires` allows. */
  expired(queue: Queue): void
}

export interface QueueTraits {
  readonly id: number
  readonly name: string
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly arguments: Headers
  readonly settings: QueueSettings
  /** The connection an exclusive queue belongs to. */
  readonly owner: object | undefined
}

/** Since the queue was declared, or the broker started. */
export interface QueueCounters {
  published: number
  delivered: number
  redelivered: number
  acked: number
  deadLettered: number
}

export class Queue {
  readonly id: number
  readonly name: string
  readonly traits: QueueTraits
  readonly consumers = new Consumers()
  deleted = false
  /** With consumers. */
  unsettled = 0
  /** Accepted, and not yet committed. */
  pending = 0
  readonly counters: QueueCounters = { published: 0, delivered: 0, redelivered: 0, acked: 0, deadLettered: 0 }
  readonly #host: QueueHost
  readonly #lanes: readonly Lane[]
  #readyBytes = 0
  #pendingBytes = 0
  #spilling = 0
  #expiry: { timer: Timer; at: number } | undefined
  #unused: Timer | undefined

  constructor(traits: QueueTraits, host: QueueHost, stored: readonly { lane: number; messages: number; bytes: number }[] = []) {
    this.id = traits.id
    this.name = traits.name
    this.traits = traits
    this.#host = host
    this.#lanes = Array.from({ length: traits.settings.maxPriority + 1 }, (_, i) => this.#lane(i, stored))
    for (const lane of stored) this.#readyBytes += lane.bytes
    this.used()
  }

  /** Comes back at the next start; its messages are stored. An exclusive queue ends with its connection at the latest. */
  get kept(): boolean {
    return this.traits.durable && this.traits.owner === undefined
  }

  get ready(): number {
    let sum = 0
    for (const lane of this.#lanes) sum += lane.size
    return sum
  }

  /** Of ready messages that are in memory. */
  get memoryBytes(): number {
    let sum = 0
    for (const lane of this.#lanes) sum += lane.loadedBytes
    return sum
  }

  get readyBytes(): number {
    return this.#readyBytes
  }

  /** With `x-overflow: reject-publish`: there is no place for one more. */
  get refuses(): boolean {
    const { rejectPublish, maxLength, maxBytes } = this.traits.settings
    if (!rejectPublish) return false
    if (maxLength !== undefined && this.ready + this.pending >= maxLength) return true
    return maxBytes !== undefined && this.#readyBytes + this.#pendingBytes >= maxBytes
  }

  /** Makes the entry of a message that will be `admit`ted once it is committed, or `forsake`n. */
  accept(message: Message): Entry {
    const { settings } = this.traits
    const { priority, expirationMs } = queueing(message)
    const lane = Math.min(priority, settings.maxPriority)
    const ttl = Math.min(expirationMs ?? Infinity, settings.messageTtl ?? Infinity)
    // A large body lives as long as the rows that refer to it.
    const large = !(message.body instanceof Uint8Array)
    const stored = this.#host.page !== undefined && (this.kept || large || this.#spilling > 0 || this.#laneAt(lane).overflows)
    if (stored && !this.kept) this.#spilling++
    const bytes = sizeOf(message)
    this.pending++
    this.#pendingBytes += bytes
    return {
      queue: this,
      seq: this.#host.nextSeq(),
      lane,
      bytes,
      expiresAt: ttl === Infinity ? undefined : ttl === 0 ? 0 : this.#host.now() + ttl,
      stored,
      deliveries: 0,
      redelivered: false,
      message,
    }
  }

  admit(entry: Entry): void {
    this.forsake(entry)
    this.counters.published++
    this.#readyBytes += entry.bytes
    this.#laneAt(entry.lane).push(entry)
  }

  forsake(entry: Entry): void {
    this.pending--
    this.#pendingBytes -= entry.bytes
    if (entry.stored && !this.kept) this.#spilling--
  }

  /** Puts a message that had been taken back to its place. */
  giveBack(entry: Entry): void {
    this.#readyBytes += entry.bytes
    this.#laneAt(entry.lane).giveBack(entry)
  }

  /** The first message, or undefined. */
  get(): Entry | undefined {
    this.#expire()
    const lane = this.#first()
    const entry = lane && this.#take(lane)
    // What is the head now may have expired behind it.
    if (entry) this.#host.touch(this)
    return entry
  }

  /** Delivers to who has room, then drops what is expired or too much. */
  pump(): void {
    if (this.deleted) return
    const { consumers } = this
    const single = this.traits.settings.singleActiveConsumer
    for (let lane = this.#first(); lane && consumers.size > 0; lane = this.#first()) {
      const entry = lane.peek(true)
      if (!entry) continue
      if (isExpired(entry, this.#host.now()) && entry.expiresAt !== 0) {
        this.#take(lane)
        this.#host.die(entry, 'expired')
        continue
      }
      const consumer = consumers.next(single)
      if (!consumer) break
      this.#take(lane)
      consumer.channel.deliver(consumer, entry)
    }
    this.#shorten()
    this.#expire()
  }

  /** Forgets everything that is ready: `drop` gets what was in memory, `dropBeyond` says what lies in the store only. */
  clear(drop: (entry: Entry) => void, dropBeyond: (lane: number, after: number) => void): number {
    const count = this.ready
    this.#lanes.forEach((lane, index) => {
      const after = lane.beyondAfter
      if (after !== undefined) dropBeyond(index, after)
      for (const entry of lane.clear()) drop(entry)
    })
    this.#readyBytes = 0
    return count
  }

  /** Starts the time of `x-expires` again; it runs while there is no consumer. */
  used(): void {
    this.#unused?.cancel()
    const { expires } = this.traits.settings
    if (expires === undefined || this.deleted || this.consumers.size > 0) return
    this.#unused = this.#host.after(expires, () => this.#host.expired(this))
  }

  /** Ends its timers. */
  close(): void {
    this.deleted = true
    this.#unused?.cancel()
    this.#expiry?.timer.cancel()
    this.#expiry = undefined
  }

  #lane(index: number, stored: readonly { lane: number; messages: number }[]): Lane {
    const { page, budget } = this.#host
    const read =
      page &&
      ((after: number, limit: number, maxBytes: number) => page(this, index, after, limit, maxBytes).map((m) => this.#restore(m, index)))
    return new Lane({ budget, page: read }, stored.find((count) => count.lane === index)?.messages ?? 0)
  }

  #restore(row: StoredMessage, lane: number): Entry {
    return {
      queue: this,
      seq: row.seq,
      lane,
      bytes: sizeOf(row.message),
      expiresAt: row.expiresAt,
      stored: true,
      deliveries: row.deliveries,
      redelivered: row.redelivered || row.seq < this.#host.suspectBelow,
      message: row.message,
    }
  }

  #laneAt(index: number): Lane {
    const lane = this.#lanes[index]
    if (!lane) throw new RangeError(`queue '${this.name}' has no lane ${index}`)
    return lane
  }

  /** The lane of the most urgent message. */
  #first(): Lane | undefined {
    for (let i = this.#lanes.length - 1; i >= 0; i--) {
      const lane = this.#lanes[i]
      if (lane && lane.size > 0) return lane
    }
    return undefined
  }

  #take(lane: Lane): Entry | undefined {
    lane.peek(this.consumers.size > 0)
    const entry = lane.take()
    if (entry) this.#readyBytes -= entry.bytes
    return entry
  }

  #shorten(): void {
    const { maxLength = Infinity, maxBytes = Infinity, rejectPublish } = this.traits.settings
    if (rejectPublish || (maxLength === Infinity && maxBytes === Infinity)) return
    while (this.ready > maxLength || this.#readyBytes > maxBytes) {
      // The least urgent go first, and of these the oldest.
      const lane = this.#lanes.find((candidate) => candidate.size > 0)
      const entry = lane && this.#take(lane)
      if (!entry) return
      this.#host.die(entry, 'maxlen')
    }
  }

  /** Only the head of a lane is looked at, as in RabbitMQ: what expires behind it goes when it becomes the head. */
  #expire(): void {
    const now = this.#host.now()
    let next = Infinity
    for (const lane of this.#lanes) {
      for (let entry = lane.size > 0 ? lane.peek(false) : undefined; entry; entry = lane.size > 0 ? lane.peek(false) : undefined) {
        if (!isExpired(entry, now)) {
          next = Math.min(next, entry.expiresAt ?? Infinity)
          break
        }
        this.#take(lane)
        this.#host.die(entry, 'expired')
      }
    }
    if (this.#expiry?.at === next) return
    this.#expiry?.timer.cancel()
    this.#expiry = undefined
    if (next === Infinity) return
    const timer = this.#host.after(next - now, () => {
      this.#expiry = undefined
      this.#host.touch(this)
    })
    this.#expiry = { timer, at: next }
  }
}

const isExpired = (entry: Entry, now: number): boolean => entry.expiresAt !== undefined && entry.expiresAt <= now
