import type { AmqpConnection, Channel } from '../../amqp/index.ts'
import { TopologyError } from '../../core/errors.ts'
import type { Incoming } from '../../core/transport.ts'
import { Delivery, type DeliverySource } from './delivery.ts'
import { Settlements } from './settlements.ts'

/** Idle channels kept open for the next fetch; beyond it, one is closed when its last message is settled. */
const KEPT = 16

interface Source extends DeliverySource {
  readonly channel: Channel
  readonly settlements: Settlements
  /** Fetches under way. */
  fetching: number
}

/**
 * Fetches single messages, with a channel for each queue: an error about one queue must not give back the messages that
 * are held from another.
 */
export class Fetcher {
  readonly #connection: AmqpConnection
  readonly #sources = new Map<string, Promise<Source>>()

  constructor(connection: AmqpConnection) {
    this.#connection = connection
  }

  async get(queue: string): Promise<Incoming | undefined> {
    const source = await this.#source(queue)
    // Given up for want of use while we waited for our turn.
    if (!source.channel.open && this.#sources.get(queue) === undefined) return this.get(queue)
    source.fetching++
    try {
      const fetched = await source.channel.get(queue)
      if (!fetched) return undefined
      source.settlements.delivered(fetched.args.deliveryTag)
      return new Delivery(source, fetched.args, fetched.content)
    } catch (error) {
      if (!(error instanceof TopologyError)) throw error
      throw new TopologyError(`Fetching from queue "${queue}" was refused: ${error.message} (${error.replyCode})`, error.replyCode, {
        cause: error,
      })
    } finally {
      source.fetching--
      this.#shrink(queue, source)
    }
  }

  #source(queue: string): Promise<Source> {
    const known = this.#sources.get(queue)
    if (known) return known
    const source = this.#open(queue)
    this.#sources.set(queue, source)
    source.catch(() => this.#sources.delete(queue))
    return source
  }

  async #open(queue: string): Promise<Source> {
    const channel = await this.#connection.openChannel({ closed: () => this.#sources.delete(queue) })
    const source: Source = {
      queue,
      strings: channel.strings,
      channel,
      settlements: new Settlements(channel, this.#connection.writer, () => this.#shrink(queue, source)),
      fetching: 0,
    }
    return source
  }

  #shrink(queue: string, { channel, settlements, fetching }: Source): void {
    if (this.#sources.size <= KEPT || fetching > 0 || settlements.open > 0) return
    this.#sources.delete(queue)
    settlements.tellNow()
    channel.close()
  }
}
