import type { Clock, Timer } from '../../core/clock.ts'
import type { DeathReason } from '../../core/dead-letter.ts'
import type { Headers } from '../../core/message.ts'
import type { Publisher } from './batch.ts'
import { Channel, type ChannelHandlers, type ChannelHost } from './channel.ts'
import { Departures } from './departures.ts'
import { type Budget, WINDOW } from './lane.ts'
import { Ledger } from './ledger.ts'
import type { BodySink, Entry, Message } from './message.ts'
import type { Queue, QueueHost } from './queue.ts'
import { inUse, notEmpty, notFound } from './refusals.ts'
import { isReplyName, Replies } from './replies.ts'
import { withoutBlindCopies } from './routing.ts'
import { type QueueStats, queueStats } from './stats.ts'
import type { Store } from './store.ts'
import { type ExchangeDeclaration, type QueueDeclaration, Topology } from './topology.ts'

/** Memory all queues together may take for ready messages that the store has anyway. Bytes. */
const BUDGET = 128 * 1024 * 1024
/** From this size on a body lies on the disk alone. Bytes. */
const LARGE = 1024 * 1024
export interface EngineOptions {
  readonly clock: Clock
  /** Absent: everything stays in memory and ends with the engine. */
  readonly store?: Store
  /** Calls back when the current turn of the event loop is over. What happens until then is one transaction. */
  readonly defer: (callback: () => void) => void
  readonly onEvent?: (event: EngineEvent) => void
  /** Ready messages each queue holds in memory; the rest lies in the store. @default 2000 */
  readonly window?: number
}

export type EngineEvent =
  /** A transaction had no room: its publishes were refused. */
  | { readonly type: 'store-full'; readonly error: Error; readonly refused: number }
  /** The store failed in a way that leaves no certainty. Every call fails from now on; the process must end and start again. */
  | { readonly type: 'store-failed'; readonly error: unknown }
  /** A dead letter that could go nowhere: no such exchange, no queue, or only in a circle. */
  | { readonly type: 'dead-letter-dropped'; readonly queue: string; readonly exchange: string; readonly reason: DeathReason }

/** The broker without any input or output: what channels do to exchanges and queues. */
export class Engine implements ChannelHost, QueueHost {
  readonly budget: Budget
  readonly replies = new Replies()
  readonly page: QueueHost['page']
  readonly departures: Departures
  suspectBelow = 0
  readonly #options: EngineOptions
  readonly #store: Store | undefined
  readonly #topology: Topology
  readonly #ledger: Ledger
  /** Time as the wall clock had it at the start, and immune to its jumps since. */
  readonly #epoch: number
  #seq = 1
  #alarm: string | undefined

  constructor(options: EngineOptions) {
    const { clock, store, defer, onEvent } = options
    this.budget = { bytes: 0, limit: BUDGET, window: options.window ?? WINDOW }
    this.#options = options
    this.#store = store
    this.#epoch = clock.wall() - clock.monotonic()
    this.#ledger = new Ledger({
      clock,
      store,
      defer,
      onFull: (error, refused) => onEvent?.({ type: 'store-full', error, refused }),
      onFailed: (error) => onEvent?.({ type: 'store-failed', error }),
    })
    this.page = store && ((queue, lane, after, limit, maxBytes) => store.page(queue, lane, after, limit, maxBytes))
    this.#topology = new Topology(store, this)
    this.departures = new Departures({
      ledger: this.#ledger,
      topology: this.#topology,
      messageOf: (entry) => this.messageOf(entry),
      now: () => this.now(),
      onDropped: (queue, exchange, reason) => onEvent?.({ type: 'dead-letter-dropped', queue, exchange, reason }),
    })
    if (!store) return
    const snapshot = store.load()
    this.#seq = snapshot.nextSeq
    this.suspectBelow = snapshot.suspectBelow
    this.#topology.restore(snapshot)
    for (const queue of this.#topology.queues.values()) if (queue.ready > 0) this.touch(queue)
  }

  /** A channel of `owner`, which is whoever exclusive queues belong to: a connection. */
  channel(owner: object, handlers: ChannelHandlers): Channel {
    return new Channel(this, owner, handlers)
  }

  /** Deletes the exclusive queues of a connection, after its channels were closed. */
  disconnected(owner: object): void {
    for (const queue of this.#topology.queues.values()) if (queue.traits.owner === owner) this.#remove(queue)
  }

  declareExchange(declaration: ExchangeDeclaration): void {
    this.#ledger.change(() => this.#topology.declareExchange(declaration))
  }

  hasExchange(name: string): boolean {
    return this.#topology.hasExchange(name)
  }

  /** Of direct answers, which take declarations as a queue does. Throws 404 for the address of nobody. */
  isReplyQueue(name: string): boolean {
    if (!isReplyName(name)) return false
    if (!this.replies.has(name)) throw notFound('queue', name)
    return true
  }

  hasQueue(name: string): boolean {
    return this.#topology.queues.has(name)
  }

  /** For a passive declaration. Throws 404. */
  checkExchange(name: string): void {
    if (name !== '') this.#topology.exchange(name)
  }

  deleteExchange(name: string, ifUnused: boolean): void {
    this.#ledger.change(() => this.#topology.deleteExchange(name, ifUnused))
  }

  declareQueue(declaration: QueueDeclaration, asker: object): Queue {
    return this.#ledger.change(() => this.#topology.declareQueue(declaration, asker))
  }

  /** For a passive declaration; what was published before is counted. Throws 404. */
  checkQueue(name: string, asker: object): Queue {
    const queue = this.queue(name, asker)
    if (queue.pending > 0) this.flush()
    queue.used()
    return queue
  }

  bind(queue: string, exchange: string, routingKey: string, bindingArguments: Headers, asker: object): void {
    const target = this.queue(queue, asker)
    this.#ledger.change(() => this.#topology.bind(target, exchange, routingKey, bindingArguments))
  }

  unbind(queue: string, exchange: string, routingKey: string, bindingArguments: Headers, asker: object): void {
    const target = this.hasQueue(queue) ? this.queue(queue, asker) : undefined
    this.#ledger.change(() => this.#topology.unbind(target, exchange, routingKey, bindingArguments))
  }

  bindExchange(destination: string, source: string, routingKey: string, bindingArguments: Headers): void {
    const target = this.#topology.bindable(destination)
    this.#ledger.change(() => this.#topology.bind(target, source, routingKey, bindingArguments))
  }

  unbindExchange(destination: string, source: string, routingKey: string, bindingArguments: Headers): void {
    this.#ledger.change(() => this.#topology.unbindExchange(destination, source, routingKey, bindingArguments))
  }

  /** Drops what is ready, and returns how many that were. */
  purge(name: string, asker: object): number {
    const queue = this.queue(name, asker)
    return this.#ledger.change(() => {
      const { removed } = this.#ledger.batch
      return queue.clear(
        (entry) => removed.push(entry),
        (lane, after) => this.#store?.purge(queue, lane, after),
      )
    })
  }

  /** Returns how many ready messages went with it; 0 where there is no such queue. */
  deleteQueue(name: string, asker: object, conditions: { ifUnused: boolean; ifEmpty: boolean }): number {
    if (!this.#topology.queues.has(name)) return 0
    const queue = this.queue(name, asker)
    this.flush()
    if (conditions.ifUnused && queue.consumers.size > 0) throw inUse('queue', name)
    if (conditions.ifEmpty && queue.ready > 0) throw notEmpty(name)
    return this.#remove(queue)
  }

  /** Where a body of this size goes while it arrives; undefined for one that is held in memory. */
  receive(size: number): BodySink | undefined {
    return size < LARGE ? undefined : this.#store?.receive(size)
  }

  get alarm(): string | undefined {
    return this.#alarm
  }

  /** While there is a reason, publishes are refused with it; everything that makes room goes on. */
  setAlarm(reason: string | undefined): void {
    this.#alarm = reason
  }

  /** Commits what happened so far, and delivers. */
  flush(): void {
    this.#ledger.flush()
  }

  /** Commits and ends every timer. Channels must be closed before. */
  close(): void {
    this.flush()
    for (const queue of this.#topology.queues.values()) queue.close()
  }

  stats(): readonly QueueStats[] {
    return [...this.#topology.queues.values()].map(queueStats)
  }

  // ChannelHost and QueueHost: what channels and queues do to one another through the engine.

  publish(message: Message, publisher: Publisher, id: number): readonly Queue[] {
    const queues = this.#topology.route(message)
    const { batch } = this.#ledger
    // Asked also without an alarm, so that it is known who publishes.
    if (!publisher.privileged && this.#alarm !== undefined) {
      batch.published.push({ publisher, id, outcome: 'failed', reason: this.#alarm })
      return queues
    }
    const kept = withoutBlindCopies(message)
    this.replies.deliver(kept)
    let refused = ''
    for (const queue of queues) {
      if (queue.refuses) refused = queue.name
      else batch.incoming.push(queue.accept(kept))
    }
    const outcome = refused !== '' ? 'refused' : queues.length > 0 ? 'routed' : 'unrouted'
    batch.published.push({ publisher, id, outcome, reason: refused === '' ? '' : `queue '${refused}' is full` })
    return queues
  }

  knows(exchange: string): boolean {
    return this.#topology.hasExchange(exchange)
  }

  isInternal(exchange: string): boolean {
    return exchange !== '' && this.#topology.exchange(exchange).traits.internal
  }

  queue(name: string, asker: object): Queue {
    return this.#topology.queue(name, asker)
  }

  messageOf(entry: Entry): Message {
    const message = entry.message ?? this.#store?.read(entry.queue, entry.seq)
    if (!message) throw new Error(`message ${entry.seq} of queue '${entry.queue.name}' is nowhere`)
    return message
  }

  consumerGone(queue: Queue): void {
    if (queue.deleted) return
    if (queue.traits.autoDelete && queue.consumers.size === 0) {
      this.#remove(queue)
      return
    }
    queue.used()
    this.touch(queue)
  }

  touch(queue: Queue): void {
    this.#ledger.touch(queue)
  }

  now(): number {
    return this.#epoch + this.#options.clock.monotonic()
  }

  nextSeq(): number {
    return this.#seq++
  }

  after(ms: number, callback: () => void): Timer {
    return this.#options.clock.after(ms, callback, { unref: true })
  }

  expired(queue: Queue): void {
    this.#remove(queue)
  }

  die(entry: Entry, reason: DeathReason): void {
    this.departures.die(entry, reason)
  }

  #remove(queue: Queue): number {
    return this.#ledger.change(() => {
      this.#topology.removeQueue(queue)
      const { ready } = queue
      queue.close()
      for (const consumer of queue.consumers.clear()) consumer.channel.cancelled(consumer)
      queue.clear(
        () => {},
        () => {},
      )
      return ready
    })
  }
}
