import { randomBytes } from 'node:crypto'
import type { ExchangeType } from '../../core/entities.ts'
import type { Headers } from '../../core/message.ts'
import { checkEquivalent, checkSame, readQueueArguments } from './arguments.ts'
import { Exchange, type ExchangeTraits, type Target } from './exchange.ts'
import type { Message } from './message.ts'
import { Queue, type QueueHost } from './queue.ts'
import { accessRefused, commandInvalid, inUse, locked, notFound } from './refusals.ts'
import { routeFrom, routingKeys } from './routing.ts'
import type { Snapshot, Store, StoredBinding } from './store.ts'

const TYPES: readonly string[] = ['direct', 'topic', 'fanout', 'headers']
const PREDECLARED: readonly (readonly [string, ExchangeType])[] = [
  ['amq.direct', 'direct'],
  ['amq.topic', 'topic'],
  ['amq.fanout', 'fanout'],
  ['amq.headers', 'headers'],
  ['amq.match', 'headers'],
]

export interface QueueDeclaration {
  /** '' asks for a name. */
  readonly name: string
  readonly durable: boolean
  readonly exclusive: boolean
  readonly autoDelete: boolean
  readonly arguments: Headers
}

export type ExchangeDeclaration = Omit<ExchangeTraits, 'type'> & { readonly type: string }

/** Exchanges, queues and bindings; what is durable is in the store before a call returns. Refusals are `TopologyError`s. */
export class Topology {
  readonly queues = new Map<string, Queue>()
  readonly #exchanges = new Map<string, Exchange>()
  readonly #store: Store | undefined
  readonly #host: QueueHost
  #nextQueueId = 1

  constructor(store: Store | undefined, host: QueueHost) {
    this.#store = store
    this.#host = host
    for (const [name, type] of PREDECLARED)
      this.#addExchange({ name, type, durable: true, autoDelete: false, internal: false, arguments: {} })
  }

  restore(snapshot: Snapshot): void {
    this.#nextQueueId = snapshot.nextQueueId
    for (const stored of snapshot.exchanges) this.#addExchange({ ...stored, durable: true })
    for (const stored of snapshot.queues) {
      const settings = readQueueArguments(stored.name, stored.arguments, { durable: true, exclusive: false })
      const counts = snapshot.counts.filter((count) => count.queue === stored.id)
      this.#addQueue(new Queue({ ...stored, durable: true, settings, owner: undefined }, this.#host, counts))
    }
    for (const { exchange, to, destination, routingKey, arguments: args } of snapshot.bindings) {
      const target = to === 'queue' ? this.queues.get(destination) : this.#exchanges.get(destination)
      if (target) this.#exchanges.get(exchange)?.bind(target, routingKey, args)
    }
  }

  get exchanges(): Iterable<Exchange> {
    return this.#exchanges.values()
  }

  exchange(name: string): Exchange {
    const exchange = this.#exchanges.get(name)
    if (!exchange) throw notFound('exchange', name)
    return exchange
  }

  hasExchange(name: string): boolean {
    return name === '' || this.#exchanges.has(name)
  }

  /** Throws 404, or 405 for a queue another connection owns. */
  queue(name: string, asker: object): Queue {
    const queue = this.queues.get(name)
    if (!queue) throw notFound('queue', name)
    const { owner } = queue.traits
    if (owner !== undefined && owner !== asker) throw locked(name)
    return queue
  }

  /** The queues a message goes to, each once. Throws 404. */
  route(message: Message): readonly Queue[] {
    const keys = routingKeys(message)
    if (message.exchange !== '') return routeFrom(this.exchange(message.exchange), message, keys, (name) => this.#exchanges.get(name))
    const found = new Set<Queue>()
    for (const key of keys) {
      const queue = this.queues.get(key)
      if (queue) found.add(queue)
    }
    return [...found]
  }

  declareExchange(declaration: ExchangeDeclaration): void {
    const { name, type } = declaration
    refuseDefault(name)
    if (!isExchangeType(type)) throw commandInvalid(`unknown exchange type '${type}'`)
    const current = this.#exchanges.get(name)
    if (current) return checkSameExchange(current.traits, declaration)
    if (name.startsWith('amq.')) throw accessRefused(`exchange name '${name}' contains reserved prefix 'amq.*'`)
    if (declaration.durable) this.#store?.saveExchange({ ...declaration, type })
    this.#addExchange({ ...declaration, type })
  }

  deleteExchange(name: string, ifUnused: boolean): void {
    refuseDefault(name)
    if (name.startsWith('amq.')) throw accessRefused(`deletion of system exchange '${name}' in vhost '/' not allowed`)
    const exchange = this.#exchanges.get(name)
    if (!exchange) return
    if (ifUnused && exchange.used) throw inUse('exchange', name)
    if (exchange.traits.durable) this.#store?.deleteExchange(name)
    this.#exchanges.delete(name)
    this.#forget(exchange)
  }

  declareQueue(declaration: QueueDeclaration, asker: object): Queue {
    const { name, durable, exclusive, autoDelete } = declaration
    if (this.queues.has(name)) {
      const current = this.queue(name, asker)
      checkSame('queue', name, 'durable', current.traits.durable, durable)
      if (exclusive !== (current.traits.owner !== undefined)) throw locked(name)
      checkSame('queue', name, 'auto_delete', current.traits.autoDelete, autoDelete)
      checkEquivalent('queue', name, current.traits.arguments, declaration.arguments)
      current.used()
      return current
    }
    if (name.startsWith('amq.')) throw accessRefused(`queue name '${name}' contains reserved prefix 'amq.*'`)
    const settings = readQueueArguments(name, declaration.arguments, { durable, exclusive })
    const traits = {
      id: this.#nextQueueId,
      name: name === '' ? `amq.gen-${randomBytes(16).toString('base64url')}` : name,
      durable,
      autoDelete,
      arguments: declaration.arguments,
      settings,
      owner: exclusive ? asker : undefined,
    }
    const queue = new Queue(traits, this.#host)
    if (queue.kept) this.#store?.saveQueue(traits)
    this.#nextQueueId++
    this.#addQueue(queue)
    return queue
  }

  /** Removes it, its bindings and its messages. */
  removeQueue(queue: Queue): void {
    this.#store?.deleteQueue(queue)
    this.queues.delete(queue.name)
    this.#forget(queue)
  }

  /** Throws 403 for the default exchange, 404, and 406 for arguments the exchange cannot use. */
  bind(target: Target, exchangeName: string, routingKey: string, bindingArguments: Headers): void {
    const exchange = this.bindable(exchangeName)
    if (!exchange.bind(target, routingKey, bindingArguments)) return
    const binding = keptBinding(exchange, target, routingKey, bindingArguments)
    try {
      if (binding) this.#store?.saveBinding(binding)
    } catch (error) {
      exchange.unbind(target, routingKey, bindingArguments)
      throw error
    }
  }

  /** That there is no such binding is no error, as in RabbitMQ. Throws 403 for the default exchange. */
  unbind(target: Target | undefined, exchangeName: string, routingKey: string, bindingArguments: Headers): void {
    refuseDefault(exchangeName)
    const exchange = this.#exchanges.get(exchangeName)
    if (!exchange || !target) return
    const binding = keptBinding(exchange, target, routingKey, bindingArguments)
    if (binding) this.#store?.deleteBinding(binding)
    if (exchange.unbind(target, routingKey, bindingArguments)) this.#unused(exchange)
  }

  unbindExchange(destination: string, exchangeName: string, routingKey: string, bindingArguments: Headers): void {
    refuseDefault(destination)
    this.unbind(this.#exchanges.get(destination), exchangeName, routingKey, bindingArguments)
  }

  /** An exchange as source or destination of a binding. Throws 403 for the default one, and 404. */
  bindable(name: string): Exchange {
    refuseDefault(name)
    return this.exchange(name)
  }

  #forget(target: Target): void {
    for (const exchange of this.#exchanges.values()) if (exchange.forget(target)) this.#unused(exchange)
  }

  #unused(exchange: Exchange): void {
    if (exchange.traits.autoDelete && !exchange.used) this.deleteExchange(exchange.traits.name, false)
  }

  #addExchange(traits: ExchangeTraits): void {
    this.#exchanges.set(traits.name, new Exchange(traits))
  }

  #addQueue(queue: Queue): void {
    this.queues.set(queue.name, queue)
  }
}

/** What the store keeps of a binding: one between what survives a restart. */
function keptBinding({ traits }: Exchange, target: Target, routingKey: string, bindingArguments: Headers): StoredBinding | undefined {
  const toExchange = target instanceof Exchange
  const kept = toExchange ? target.traits.durable : target.kept
  if (!traits.durable || !kept) return undefined
  const [to, destination] = toExchange ? (['exchange', target.traits.name] as const) : (['queue', target.name] as const)
  return { exchange: traits.name, to, destination, routingKey, arguments: bindingArguments }
}

function refuseDefault(exchange: string): void {
  if (exchange === '') throw accessRefused('operation not permitted on the default exchange')
}

const isExchangeType = (type: string): type is ExchangeType => TYPES.includes(type)

function checkSameExchange(current: ExchangeTraits, received: ExchangeDeclaration): void {
  checkSame('exchange', current.name, 'type', current.type, received.type)
  checkSame('exchange', current.name, 'durable', current.durable, received.durable)
  checkSame('exchange', current.name, 'auto_delete', current.autoDelete, received.autoDelete)
  checkSame('exchange', current.name, 'internal', current.internal, received.internal)
  checkEquivalent('exchange', current.name, current.arguments, received.arguments, ['alternate-exchange'])
}
