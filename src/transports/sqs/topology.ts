import type { Exchange, Queue } from '../../core/entities.ts'
import type { Clock } from '../../core/clock.ts'
import { TopologyError } from '../../core/errors.ts'
import type { Headers, Outgoing } from '../../core/message.ts'
import type { QueueState } from '../../core/transport.ts'
import type { Address } from './address.ts'
import type { Client } from './client.ts'
import { attributesOf, checkExchange, checkQueue, checkSame, waitingQueue } from './declaration.ts'
import type { Directory, KnownQueue } from './directory.ts'
import { SqsFailure, topologyError } from './failure.ts'
import { isFifo, sqsName } from './names.ts'
import { type TaggedBinding, type Tags, argumentsIn, argumentTags, bindingsIn, bindingTags, MOST_TAGS, tagsOfBinding } from './tags.ts'

/** Where one copy of a message goes. */
export interface Target {
  readonly url: string
  readonly fifo: boolean
  /** The address it arrives with, where it passed through a waiting queue. */
  readonly arrivesAs: Pick<Outgoing, 'exchange' | 'routingKey'>
  readonly delayMs: number
}

/** How old what we know of other processes' bindings may be. Milliseconds. */
const LIST_FRESH_MS = 10_000
/** The same for the tags of a queue that was read before: SQS answers few questions about tags. Milliseconds. */
const TAGS_FRESH_MS = 60_000
/** When a message finds no queue, it is looked closer. Milliseconds. */
const LOOK_AGAIN_MS = 1_000
const AT_ONCE = 5

export class Topology {
  readonly #client: Client
  readonly #directory: Directory
  readonly #address: Address
  readonly #clock: Clock

  constructor(client: Client, directory: Directory, address: Address, clock: Clock) {
    this.#client = client
    this.#directory = directory
    this.#address = address
    this.#clock = clock
  }

  async declareExchange(exchange: Exchange): Promise<void> {
    const { name, type } = exchange
    if (name === '') return
    checkExchange(exchange)
    const existing = (await this.#directory.find(name))?.type
    if (existing !== undefined && existing !== type)
      throw new TopologyError(`Exchange "${name}" exists with type ${existing}, declared as ${type}`, 406, { argument: 'type' })
    this.#directory.addExchange(name, type)
  }

  async declareQueue(queue: Queue): Promise<QueueState> {
    const waiting = waitingQueue(queue)
    if (waiting) {
      this.#directory.setWaiting(queue.name, waiting)
      return { name: queue.name, messages: 0, consumers: 0 }
    }
    for (const { exchange } of queue.bindings) await this.declareExchange(exchange)
    if (queue.exclusive || queue.name === '') checkQueue(queue)
    const name = this.nameOf(queue.name)
    try {
      const url = (await this.#lookUp(name)) ?? (await this.#create(name, queue))
      await this.#tag(name, url, queue)
    } catch (error) {
      throw topologyError(`Declaring queue "${queue.name}" was refused`, error)
    }
    return this.inspect(queue.name)
  }

  async unbind(queue: string, exchange: string, routingKey: string, bindingArguments: Headers): Promise<void> {
    const name = this.nameOf(queue)
    const url = await this.#lookUp(name)
    if (url === undefined) return
    const tags = await this.#tagsOf(url)
    const gone = tagsOfBinding(name, { exchange, routingKey, arguments: bindingArguments }, tags)
    await this.#untag(name, url, tags, gone)
  }

  async inspect(queue: string): Promise<QueueState> {
    if (this.#directory.waiting(queue)) return { name: queue, messages: 0, consumers: 0 }
    const url = await this.urlOf(queue)
    try {
      const { Attributes: attributes } = await this.#client.call((sqs) =>
        sqs.getQueueAttributes({ QueueUrl: url, AttributeNames: ['ApproximateNumberOfMessages'] }),
      )
      const messages = Number(attributes?.['ApproximateNumberOfMessages'] ?? 0)
      return { name: queue, messages, consumers: this.#directory.consumers(this.nameOf(queue)) }
    } catch (error) {
      throw this.refused('Inspecting', queue, url, error)
    }
  }

  /** An exchange is where a binding names it, or one of our own has declared it. */
  async inspectExchange(exchange: string): Promise<void> {
    if (exchange === '' || (await this.#directory.find(exchange))) return
    await this.#refresh(LOOK_AGAIN_MS, LIST_FRESH_MS)
    if (await this.#directory.find(exchange)) return
    throw new TopologyError(`There is no exchange "${exchange}" known to this process, nor on the queues of SQS`, 404)
  }

  async deleteQueue(queue: string): Promise<void> {
    if (this.#directory.removeWaiting(queue)) return
    if (this.#address.predefined) throw new TopologyError(`Queue "${queue}" is one of predefined_queues, which are not deleted`, 403)
    const name = this.nameOf(queue)
    const url = await this.#lookUp(name)
    if (url === undefined) return
    this.#directory.removeQueue(name)
    try {
      await this.#client.call((sqs) => sqs.deleteQueue({ QueueUrl: url }))
    } catch (error) {
      if (!(error instanceof SqsFailure && error.kind === 'gone')) throw topologyError(`Deleting queue "${queue}" was refused`, error)
    }
  }

  /** With its bindings, on whatever queue they are. */
  async deleteExchange(exchange: string): Promise<void> {
    await this.#refresh(0, 0)
    for (const [name, { url, bindings }] of this.#directory.queues()) {
      const gone = bindings.filter((binding) => binding.exchange === exchange)
      if (gone.length === 0) continue
      const tags = await this.#tagsOf(url)
      const keys = gone.flatMap((binding) => tagsOfBinding(name, binding, tags))
      await this.#untag(name, url, tags, keys)
    }
    this.#directory.removeExchange(exchange)
  }

  /** Undefined where the exchange does not exist. Rejects with `TopologyError` for a name SQS has none for. */
  async targets({ exchange, routingKey, properties }: Outgoing): Promise<readonly Target[] | undefined> {
    if (exchange === '') return this.#targetsOfQueue(routingKey)
    const route = (): Promise<readonly string[] | undefined> => this.#directory.route(exchange, routingKey, properties.headers)
    if (this.#directory.listedAt === -Infinity) await this.#refresh(LIST_FRESH_MS, TAGS_FRESH_MS)
    let names = await route()
    if (names === undefined || names.length === 0) {
      await this.#refresh(LOOK_AGAIN_MS, LIST_FRESH_MS)
      names = await route()
    } else void this.#refresh(LIST_FRESH_MS, TAGS_FRESH_MS).catch(() => undefined)
    return names?.map((name) => ({
      url: this.#directory.queue(name)!.url,
      fifo: isFifo(name),
      arrivesAs: { exchange, routingKey },
      delayMs: 0,
    }))
  }

  /** Rejects with `TopologyError` 404. */
  async urlOf(queue: string): Promise<string> {
    const url = await this.#lookUp(this.nameOf(queue))
    if (url !== undefined) return url
    throw missing(queue)
  }

  /** SQS says there is no such queue any more. */
  forget(url: string): void {
    this.#directory.removeUrl(url)
  }

  /** As SQS has it. Throws `TopologyError`. */
  nameOf(queue: string): string {
    return this.#address.predefined ? queue : sqsName(queue, this.#address.queueNamePrefix)
  }

  /** What a caller is told when SQS refused an operation on a queue that was there before. */
  refused(what: string, queue: string, url: string, error: unknown): Error {
    if (!(error instanceof SqsFailure && error.kind === 'gone')) return topologyError(`${what} queue "${queue}" was refused`, error)
    this.#directory.removeUrl(url)
    return missing(queue)
  }

  async #targetsOfQueue(routingKey: string): Promise<readonly Target[]> {
    const waiting = this.#directory.waiting(routingKey)
    const queue = waiting?.target ?? routingKey
    const name = this.nameOf(queue)
    const url = await this.#lookUp(name)
    if (url === undefined) return []
    return [{ url, fifo: isFifo(name), arrivesAs: { exchange: '', routingKey: queue }, delayMs: waiting?.ms ?? 0 }]
  }

  async #lookUp(name: string): Promise<string | undefined> {
    const { predefined } = this.#address
    if (predefined) return predefined.get(name)
    const known = this.#directory.queue(name)
    if (known) return known.url
    try {
      const { QueueUrl: url } = await this.#client.call((sqs) => sqs.getQueueUrl({ QueueName: name }))
      if (url !== undefined) this.#directory.setQueue(name, { url, arguments: undefined, bindings: [], unwritten: {}, readAt: -Infinity })
      return url
    } catch (error) {
      if (error instanceof SqsFailure && error.kind === 'gone') return undefined
      throw topologyError(`Queue "${name}" was refused`, error)
    }
  }

  async #create(name: string, queue: Queue): Promise<string> {
    if (this.#address.predefined)
      throw new TopologyError(`Queue "${queue.name}" is not among predefined_queues, and no other is created`, 404)
    checkQueue(queue)
    const { QueueUrl: url } = await this.#client.call((sqs) =>
      sqs.createQueue({
        QueueName: name,
        Attributes: {
          VisibilityTimeout: String(this.#address.visibilityTimeout),
          ...(isFifo(name) ? { FifoQueue: 'true' } : {}),
          ...attributesOf(queue),
        },
        tags: { ...argumentTags(queue.arguments) },
      }),
    )
    return url!
  }

  /** Adds what is declared and not there. Without the right to, it holds for this process alone. */
  async #tag(name: string, url: string, queue: Queue): Promise<void> {
    const declared = queue.bindings.flatMap(({ exchange, routingKey, arguments: given }): TaggedBinding[] =>
      // Every queue is bound to the default exchange by its name, and by nothing else.
      exchange.name === '' ? [] : [{ exchange: exchange.name, type: exchange.type, routingKey, arguments: given }],
    )
    const tags = await this.#tagsOf(url)
    const existing = argumentsIn(tags)
    if (existing) checkSame(queue.name, existing, queue.arguments)
    checkQueue(queue)
    const wanted: Tags = Object.assign(
      {},
      existing ? {} : argumentTags(queue.arguments),
      ...declared.map((binding) => bindingTags(name, binding)),
    )
    const added = Object.fromEntries(Object.entries(wanted).filter(([key, value]) => tags[key] !== value))
    const all = { ...tags, ...added }
    if (Object.keys(all).length > MOST_TAGS)
      throw new TopologyError(
        `Queue "${queue.name}" has too many bindings: SQS keeps ${MOST_TAGS} tags of 256 characters, and they need ${Object.keys(all).length}`,
        406,
      )
    const written =
      Object.keys(added).length === 0 ||
      (await this.#permitted(() => this.#client.call((sqs) => sqs.tagQueue({ QueueUrl: url, Tags: added }))))
    this.#directory.setQueue(name, this.#known(url, tags, written ? {} : added, added))
  }

  async #untag(name: string, url: string, tags: Tags, keys: readonly string[]): Promise<void> {
    if (keys.length > 0) await this.#permitted(() => this.#client.call((sqs) => sqs.untagQueue({ QueueUrl: url, TagKeys: [...keys] })))
    const without = (all: Tags): Tags => Object.fromEntries(Object.entries(all).filter(([key]) => !keys.includes(key)))
    this.#directory.setQueue(name, this.#known(url, without(tags), without(this.#directory.queue(name)?.unwritten ?? {})))
  }

  /** Reads what other processes have declared: queues that are new, and those whose tags were read too long ago. */
  async #refresh(listFreshMs: number, tagsFreshMs: number): Promise<void> {
    const directory = this.#directory
    const now = this.#clock.monotonic()
    if (directory.refreshing === undefined && now - directory.listedAt <= listFreshMs) return
    directory.refreshing ??= this.#list(now - tagsFreshMs).finally(() => {
      directory.listedAt = now
      directory.refreshing = undefined
    })
    await directory.refreshing
  }

  async #list(readBefore: number): Promise<void> {
    const stale = (await this.#allQueues()).filter(([name]) => (this.#directory.queue(name)?.readAt ?? -Infinity) <= readBefore)
    const read = async (): Promise<void> => {
      for (let next = stale.pop(); next; next = stale.pop()) {
        const [name, url] = next
        const before = this.#directory.queue(name)
        const tags = await this.#readTags(url)
        // Declared or read by others meanwhile: that is fresher.
        if (tags && this.#directory.queue(name) === before) this.#directory.setQueue(name, this.#known(url, tags, before?.unwritten))
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, read))
  }

  /** Those with our prefix, as far as we may list them. */
  async #allQueues(): Promise<[name: string, url: string][]> {
    const { predefined, queueNamePrefix } = this.#address
    if (predefined) return [...predefined]
    const urls: string[] = []
    let token: string | undefined
    do {
      const page = await this.#permitted(() =>
        this.#client.call((sqs) =>
          sqs.listQueues({
            MaxResults: 1_000,
            ...(queueNamePrefix === '' ? {} : { QueueNamePrefix: sqsName(queueNamePrefix, '') }),
            ...(token === undefined ? {} : { NextToken: token }),
          }),
        ),
      )
      urls.push(...(page?.QueueUrls ?? []))
      token = page?.NextToken
    } while (token !== undefined)
    return urls.map((url) => [url.slice(url.lastIndexOf('/') + 1), url])
  }

  async #tagsOf(url: string): Promise<Tags> {
    return (await this.#readTags(url)) ?? {}
  }

  async #readTags(url: string): Promise<Tags | undefined> {
    const answer = await this.#permitted(() => this.#client.call((sqs) => sqs.listQueueTags({ QueueUrl: url })))
    return answer && (answer.Tags ?? {})
  }

  /** Undefined where we may not, where there is nothing, and where SQS has had enough of our questions: what we know must do. */
  async #permitted<T>(ask: () => Promise<T>): Promise<T | undefined> {
    try {
      return await ask()
    } catch (error) {
      if (error instanceof SqsFailure && ['denied', 'throttled', 'gone'].includes(error.kind)) return undefined
      throw error
    }
  }

  #known(url: string, tags: Tags, unwritten: Tags = {}, added: Tags = unwritten): KnownQueue {
    const all = { ...tags, ...added }
    return { url, arguments: argumentsIn(all), bindings: bindingsIn(all), unwritten, readAt: this.#clock.monotonic() }
  }
}

function missing(queue: string): TopologyError {
  return new TopologyError(`There is no queue "${queue}" on SQS`, 404)
}
