import type { Queue } from '../../core/entities.ts'
import { readEnvelope } from '../kit/envelope.ts'
import type { Link } from './link.ts'

/**
 * What Kombu sends to a fanout exchange, which is no list but a channel that forgets: while somebody of ours consumes a queue that is
 * bound to one, it is put into that queue. Every session that consumes it hears the same, and a script sees to it that one copy lands.
 */
export class Fanout {
  readonly #link: Link
  readonly #channels: string
  /** Fanout exchanges of the queues this session has declared. */
  readonly #exchanges = new Map<string, readonly string[]>()
  readonly #listening = new Set<string>()

  /** `channels` is what the names of channels begin with. */
  constructor(link: Link, channels: string) {
    this.#link = link
    this.#channels = channels
  }

  declared({ bindings }: Queue, name: string): void {
    const exchanges = bindings.flatMap(({ exchange }) => (exchange.type === 'fanout' ? [exchange.name] : []))
    this.#exchanges.set(name, [...new Set(exchanges)])
  }

  /** Call before the queue is consumed. */
  async consumed(queue: string): Promise<void> {
    for (const exchange of this.#exchanges.get(queue) ?? []) {
      const id = JSON.stringify([queue, exchange])
      if (this.#listening.has(id)) continue
      this.#listening.add(id)
      const channel = `${this.#channels}${exchange}`
      const hear = (message: Buffer): void => this.#hear(queue, message)
      await this.#link.listen(channel, hear)
      // With a key, of which a fanout makes nothing.
      await this.#link.listenToPattern(`${channel.replaceAll(/[\\*?[\]]/g, '\\$&')}/*`, hear)
    }
  }

  #hear(queue: string, message: Buffer): void {
    let tag: string
    try {
      tag = readEnvelope(message).deliveryTag
    } catch {
      // No message of anybody's: a channel is open to all.
      return
    }
    // Ours lie in the queue already.
    if (tag.startsWith('omnibus-')) return
    this.#link.run('hear', queue, tag, message).catch((error: unknown) => void this.#link.verdict(error))
  }
}
