import { randomUUID } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import type { Exchange, ExchangeType, Queue } from '../../core/entities.ts'
import { TopologyError } from '../../core/errors.ts'
import type { Headers } from '../../core/message.ts'
import type { QueueState } from '../../core/transport.ts'
import type { Address } from './address.ts'
import type { Client } from './client.ts'
import { attributesOf, checkExchange, checkQueue, checkSame, waitingQueue } from './declaration.ts'
import type { Directory } from './directory.ts'
import { ExclusiveQueues } from './exclusive.ts'
import { SqsFailure, topologyError } from './failure.ts'
import { isFifo, sqsName } from './names.ts'
import { Routes } from './routes.ts'
import { AT_ONCE, CLOSE, Tagging, USUAL } from './tagging.ts'
import { Topics } from './topics.ts'
import { argumentsIn, argumentTags, bindingsIn, bindingTags, MOST_TAGS, type TaggedBinding, type Tags, tagsOfBinding } from './tags.ts'

/** What lies in an exclusive queue goes by itself when nobody deletes it. */
const LEFT_OVER_SECONDS = 3_600

export class Topology {
  readonly routes: Routes
  readonly #client: Client
  readonly #directory: Directory
  readonly #address: Address
  readonly #tagging: Tagging
  readonly #exclusive: ExclusiveQueues
  readonly #topics: Topics | undefined

  constructor(client: Client, directory: Directory, address: Address, clock: Clock) {
    const { sns, queueNamePrefix: prefix } = address
    this.#client = client
    this.#directory = directory
    this.#address = address
    this.#tagging = new Tagging({ client, directory, address, clock, onLeftOver: (name, url) => this.#delete(name, url) })
    this.#topics = sns && new Topics({ client, sns, prefix, clock })
    this.routes = new Routes({
      directory,
      tagging: this.#tagging,
      topics: this.#topics,
      nameOf: (queue) => this.nameOf(queue),
      lookUp: (name) => this.#lookUp(name),
    })
    this.#exclusive = new ExclusiveQueues(clock, (url, tags) => this.#tagging.write(url, tags).catch(() => undefined))
  }

  async declareExchange(exchange: Exchange): Promise<void> {
    const { name, type } = exchange
    if (name === '') return
    checkExchange(exchange)
    const existing = (await this.#directory.find(name))?.type
    if (existing !== undefined && existing !== type)
      throw new TopologyError(`Exchange "${name}" exists with type ${existing}, declared as ${type}`, 406, { argument: 'type' })
    if (type === 'fanout') await this.#topics?.arnOf(name)
    this.#directory.addExchange(name, type)
  }

  async declareQueue(queue: Queue): Promise<QueueState> {
    const waiting = waitingQueue(queue)
    if (waiting) {
      this.#directory.setWaiting(queue.name, waiting)
      return { name: queue.name, messages: 0, consumers: 0 }
    }
    for (const { exchange } of queue.bindings) await this.declareExchange(exchange)
    const named = queue.name === '' ? { ...queue, name: `amq-gen-${randomUUID()}` } : queue
    const known = this.#directory.queue(this.nameOf(named.name)) !== undefined
    try {
      return await this.#declare(named, queue.exclusive || queue.name === '')
    } catch (error) {
      // It was there when we last looked.
      if (known && error instanceof TopologyError && error.replyCode === 404)
        return await this.#declare(named, queue.exclusive || queue.name === '')
      throw error
    }
  }

  async unbind(queue: string, exchange: string, routingKey: string, bindingArguments: Headers): Promise<void> {
    const name = this.nameOf(queue)
    const url = await this.#lookUp(name)
    if (url === undefined) return
    const tags = await this.#tagging.read(url)
    const gone = tagsOfBinding(name, { exchange, routingKey, arguments: bindingArguments }, tags)
    const before = this.#fanoutsOn(name, tags)
    await this.#tagging.remove(name, url, tags, gone)
    if (before.has(exchange) && !this.#fanoutsOn(name).has(exchange)) await this.#topics?.unsubscribe(url, exchange)
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
    await this.#tagging.refresh(CLOSE)
    if (await this.#directory.find(exchange)) return
    throw new TopologyError(`There is no exchange "${exchange}" known to this process, nor on the queues of SQS`, 404)
  }

  async deleteQueue(queue: string): Promise<void> {
    if (this.#directory.removeWaiting(queue)) return
    if (this.#address.predefined) throw new TopologyError(`Queue "${queue}" is one of predefined_queues, which are not deleted`, 403)
    const name = this.nameOf(queue)
    const url = await this.#lookUp(name)
    if (url === undefined) return
    this.#checkOwner(queue)
    try {
      await this.#delete(name, url)
    } catch (error) {
      throw topologyError(`Deleting queue "${queue}" was refused`, error)
    }
  }

  /** Deletes what is exclusive to this session. Never rejects: what is left over is deleted by whoever finds it. */
  async end(): Promise<void> {
    await Promise.all(this.#exclusive.end().map(([name, url]) => this.#delete(name, url).catch(() => undefined)))
  }

  /** With its bindings, on whatever queue they are. */
  async deleteExchange(exchange: string): Promise<void> {
    await this.#tagging.refresh(AT_ONCE)
    if ((await this.#directory.find(exchange))?.type === 'fanout') await this.#topics?.delete(exchange)
    for (const [name, { url, bindings }] of this.#directory.queues()) {
      const gone = bindings.filter((binding) => binding.exchange === exchange)
      if (gone.length === 0) continue
      const tags = await this.#tagging.read(url)
      const keys = gone.flatMap((binding) => tagsOfBinding(name, binding, tags))
      await this.#tagging.remove(name, url, tags, keys)
    }
    this.#directory.removeExchange(exchange)
  }

  /** For those who read from it. Rejects with `TopologyError` 404, and 405 where it is exclusive to another session. */
  async urlOf(queue: string): Promise<string> {
    const url = await this.#lookUp(this.nameOf(queue))
    if (url === undefined) throw missing(queue)
    this.#checkOwner(queue)
    return url
  }

  /** There is no such queue any more, or no such topic. */
  forget(url: string): void {
    this.#directory.removeUrl(url)
    this.#topics?.forget(url)
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

  async #declare(queue: Queue, exclusive: boolean): Promise<QueueState> {
    const name = this.nameOf(queue.name)
    try {
      const found = await this.#lookUp(name)
      if (found !== undefined) this.#checkOwner(queue.name, exclusive)
      const url = found ?? (await this.#create(name, queue, exclusive))
      await this.#tag(name, url, queue, exclusive)
      const fanouts = queue.bindings.flatMap(({ exchange }) => (isFanout(exchange) ? [exchange.name] : []))
      await this.#topics?.subscribe(url, new Set(fanouts))
      // Who publishes to topics alone looks through no queues.
      if (exclusive && this.#topics) void this.#tagging.refresh(USUAL).catch(() => undefined)
    } catch (error) {
      if (error instanceof SqsFailure && error.kind === 'gone') this.#directory.removeQueue(name)
      throw topologyError(`Declaring queue "${queue.name}" was refused`, error)
    }
    return this.inspect(queue.name)
  }

  async #lookUp(name: string): Promise<string | undefined> {
    const { predefined } = this.#address
    if (predefined) return predefined.get(name)
    const known = this.#directory.queue(name)
    if (known) return known.url
    try {
      const { QueueUrl: url } = await this.#client.call((sqs) => sqs.getQueueUrl({ QueueName: name }))
      if (url !== undefined) await this.#tagging.learn(name, url)
      return url
    } catch (error) {
      if (error instanceof SqsFailure && error.kind === 'gone') return undefined
      throw topologyError(`Queue "${name}" was refused`, error)
    }
  }

  async #delete(name: string, url: string): Promise<void> {
    const fanouts = this.#topics ? this.#fanoutsOn(name, await this.#tagging.read(url)) : []
    this.#directory.removeQueue(name)
    this.#exclusive.remove(name)
    // A subscription that stays brings nothing to anybody: no reason not to delete the queue.
    for (const exchange of fanouts) await this.#topics?.unsubscribe(url, exchange).catch(() => undefined)
    try {
      await this.#client.call((sqs) => sqs.deleteQueue({ QueueUrl: url }))
    } catch (error) {
      if (!(error instanceof SqsFailure && error.kind === 'gone')) throw error
    }
  }

  /** The fanout exchanges a queue is bound to, as far as we know and its tags tell. */
  #fanoutsOn(name: string, tags: Tags = {}): Set<string> {
    const bindings = [...(this.#directory.queue(name)?.bindings ?? []), ...bindingsIn(tags)]
    return new Set(bindings.filter(isFanout).map(({ exchange }) => exchange))
  }

  #checkOwner(queue: string, exclusive?: boolean): void {
    const owner = this.#directory.queue(this.nameOf(queue))?.owner
    if (owner !== undefined && owner !== this.#exclusive.owner)
      throw new TopologyError(`Queue "${queue}" is exclusive to another connection`, 405)
    if (exclusive === undefined || exclusive === (owner !== undefined)) return
    throw new TopologyError(`Queue "${queue}" exists and is ${exclusive ? 'not ' : ''}exclusive, declared otherwise`, 406, {
      argument: 'exclusive',
    })
  }

  async #create(name: string, queue: Queue, exclusive: boolean): Promise<string> {
    if (this.#address.predefined)
      throw new TopologyError(`Queue "${queue.name}" is not among predefined_queues, and no other is created`, 404)
    checkQueue(queue)
    const { QueueUrl: url } = await this.#client.call((sqs) =>
      sqs.createQueue({
        QueueName: name,
        Attributes: {
          VisibilityTimeout: String(this.#address.visibilityTimeout),
          ...(isFifo(name) ? { FifoQueue: 'true' } : {}),
          ...(exclusive ? { MessageRetentionPeriod: String(LEFT_OVER_SECONDS) } : {}),
          ...attributesOf(queue),
        },
        // All other tags follow: who may not write them may still create a queue.
        ...(exclusive ? { tags: { ...this.#exclusive.tags } } : {}),
      }),
    )
    return url!
  }

  /** Adds what is declared and not there. Without the right to, it holds for this process alone. */
  async #tag(name: string, url: string, queue: Queue, exclusive: boolean): Promise<void> {
    const declared = queue.bindings.flatMap(({ exchange, routingKey, arguments: given }): TaggedBinding[] =>
      // Every queue is bound to the default exchange by its name, and by nothing else.
      exchange.name === '' ? [] : [{ exchange: exchange.name, type: exchange.type, routingKey, arguments: given }],
    )
    const tags = await this.#tagging.read(url)
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
    await this.#tagging.add(name, url, tags, added)
    if (exclusive) this.#exclusive.add(name, url)
  }
}

const isFanout = ({ type }: { readonly type: ExchangeType }): boolean => type === 'fanout'

function missing(queue: string): TopologyError {
  return new TopologyError(`There is no queue "${queue}" on SQS`, 404)
}
