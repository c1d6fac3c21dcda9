import { randomUUID } from 'node:crypto'
import type { Exchange, Queue } from '../../core/entities.ts'
import type { Headers } from '../../core/message.ts'
import type { QueueState } from '../../core/transport.ts'
import { differs, exchangeDefinition, queueDefinition } from './definition.ts'
import type { Link } from './link.ts'
import { bindingLines } from './routes.ts'

/** Declares, asks and deletes; each operation is a script, or two. */
export class Topology {
  readonly #link: Link
  readonly #session: string
  readonly #sep: string

  constructor(link: Link, session: string, sep: string) {
    this.#link = link
    this.#session = session
    this.#sep = sep
  }

  async declareExchange(exchange: Exchange): Promise<void> {
    if (exchange.name === '') return
    const definition = exchangeDefinition(exchange)
    const there = (await this.#link.ask('declareExchange', exchange.name, definition)) as string
    if (there !== definition) throw differs(`exchange "${exchange.name}"`, there, definition)
  }

  async declareQueue(queue: Queue): Promise<QueueState> {
    const name = queue.name === '' ? `amq.gen-${randomUUID()}` : queue.name
    const definition = queueDefinition(name, queue, this.#session)
    // Every queue is bound to the default exchange by its name, and by nothing else.
    const bindings = queue.bindings.filter(({ exchange }) => exchange.name !== '')
    for (const exchange of new Set(bindings.map((binding) => binding.exchange))) await this.declareExchange(exchange)
    const lines = bindings.map(({ exchange, routingKey, arguments: given }) => {
      const { kombu, ours } = bindingLines(this.#sep, exchange.type, { queue: name, routingKey, arguments: given })
      return [exchange.name, kombu, ours]
    })
    const ttl = queue.arguments['x-message-ttl']
    const reply = await this.#link.ask('declareQueue', name, definition, ttl === undefined ? '' : String(ttl), JSON.stringify(lines))
    const [there, messages, consumers] = reply as [string, number?, number?]
    if (messages === undefined) throw differs(`queue "${name}"`, there, definition)
    return { name, messages, consumers: consumers ?? 0 }
  }

  async unbind(queue: string, exchange: string, routingKey: string, bindingArguments: Headers): Promise<void> {
    const lines = (type: Exchange['type']) => bindingLines(this.#sep, type, { queue, routingKey, arguments: bindingArguments })
    // Whatever the exchange's type, one of these is its line.
    await this.#link.ask('unbind', exchange, JSON.stringify([lines('direct').kombu, lines('topic').kombu]), lines('headers').ours)
  }

  async inspect(queue: string): Promise<QueueState> {
    const [messages, consumers] = (await this.#link.ask('inspect', queue)) as [number, number]
    return { name: queue, messages, consumers }
  }

  async purge(queue: string): Promise<number> {
    return (await this.#link.ask('purge', queue)) as number
  }

  async deleteQueue(queue: string): Promise<void> {
    await this.#link.ask('removeQueue', queue)
  }

  async deleteExchange(exchange: string): Promise<void> {
    await this.#link.ask('removeExchange', exchange)
  }
}
