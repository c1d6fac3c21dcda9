/** Where a message goes: to the queue its key names, to those that are bound to its exchange, or to a topic that SNS takes it from. */
import type { Outgoing } from '../../core/message.ts'
import type { Directory } from './directory.ts'
import { isFifo } from './names.ts'
import { CLOSE, type Tagging, USUAL } from './tagging.ts'
import type { Topics } from './topics.ts'

/** Where one copy of a message goes. */
export interface Target {
  /** Of a queue; of a topic its ARN. */
  readonly url: string
  /** SNS makes the copies, and may be asked for one without anybody to get it. */
  readonly topic?: { readonly heard: boolean }
  readonly fifo: boolean
  /** The address it arrives with, where it passed through a waiting queue. */
  readonly arrivesAs: Pick<Outgoing, 'exchange' | 'routingKey'>
  readonly delayMs: number
}

export interface RoutesOptions {
  readonly directory: Directory
  readonly tagging: Tagging
  readonly topics: Topics | undefined
  /** As SQS has it. Throws `TopologyError`. */
  readonly nameOf: (queue: string) => string
  /** The URL of a queue, by the name SQS has for it. Rejects with `TopologyError`. */
  readonly lookUp: (name: string) => Promise<string | undefined>
}

export class Routes {
  readonly #options: RoutesOptions

  constructor(options: RoutesOptions) {
    this.#options = options
  }

  /** Undefined where the exchange does not exist. Rejects with `TopologyError` for a name SQS has none for. */
  async targets(message: Outgoing): Promise<readonly Target[] | undefined> {
    const { directory, tagging, topics } = this.#options
    if (message.exchange === '') return this.#toQueue(message.routingKey)
    const look = async (): Promise<readonly Target[] | undefined> => (await this.#toTopic(message)) ?? (await this.#toBound(message))
    const isTopic = topics !== undefined && directory.typeOf(message.exchange) === 'fanout'
    if (directory.listedAt === -Infinity && !isTopic) await tagging.refresh(USUAL)
    const targets = await look()
    if (targets === undefined || targets.length === 0) {
      await tagging.refresh(CLOSE)
      return look()
    }
    if (!targets[0]!.topic) void tagging.refresh(USUAL).catch(() => undefined)
    return targets
  }

  async #toQueue(routingKey: string): Promise<readonly Target[]> {
    const { directory, nameOf, lookUp } = this.#options
    const waiting = directory.waiting(routingKey)
    const queue = waiting?.target ?? routingKey
    const name = nameOf(queue)
    const url = await lookUp(name)
    if (url === undefined) return []
    return [{ url, fifo: isFifo(name), arrivesAs: { exchange: '', routingKey: queue }, delayMs: waiting?.ms ?? 0 }]
  }

  async #toBound({ exchange, routingKey, properties }: Outgoing): Promise<readonly Target[] | undefined> {
    const { directory } = this.#options
    const names = await directory.route(exchange, routingKey, properties.headers)
    return names?.map((name) => ({
      url: directory.queue(name)!.url,
      fifo: isFifo(name),
      arrivesAs: { exchange, routingKey },
      delayMs: 0,
    }))
  }

  /** Undefined for an exchange that is no topic, or of which nothing is known. */
  async #toTopic({ exchange, routingKey }: Outgoing): Promise<readonly Target[] | undefined> {
    const { directory, topics } = this.#options
    if (!topics) return undefined
    const type = directory.typeOf(exchange) ?? (await directory.find(exchange))?.type
    if (type !== 'fanout') return undefined
    const url = await topics.arnOf(exchange)
    return [{ url, topic: { heard: await topics.heard(url) }, fifo: isFifo(url), arrivesAs: { exchange, routingKey }, delayMs: 0 }]
  }
}
