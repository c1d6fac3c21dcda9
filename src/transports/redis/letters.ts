import { createHash } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import { circles, deadLetter, type DeathReason } from '../../core/dead-letter.ts'
import { CodecError } from '../../core/errors.ts'
import type { Headers } from '../../core/message.ts'
import { openEnvelope, receive } from './envelope.ts'
import type { Reply } from './client.ts'
import type { Link } from './link.ts'
import { readRoutes, type Route } from './routes.ts'

/** What a script writes before a message that died, as JSON on a line of its own. */
interface Label {
  readonly queue: string
  readonly reason: DeathReason
  readonly exchange: string
  readonly key?: string
}

interface Letter {
  readonly raw: Buffer
  readonly label: Label
  /** Undefined where the message cannot be read. */
  readonly text: string | undefined
  readonly routingKey: string
  readonly headers: Headers
  readonly priority: number | undefined
}

const NEWLINE = 0x0a
/** Then the session's lease is due. */
const ROUNDS = 16

/** Brings dead letters from the place where scripts leave them, in one step, to the queues their exchange means, in another. */
export class Letters {
  readonly #link: Link
  readonly #sep: string
  readonly #clock: Clock
  readonly #routes = new Map<string, Route>()

  constructor(link: Link, sep: string, clock: Clock) {
    this.#link = link
    this.#sep = sep
    this.#clock = clock
  }

  /** Bytes of letters to be given at a time, as scripts read it: they come down the link, and go up again. */
  get room(): string {
    const { up, down } = this.#link.pace
    return String(Math.min(up.bytes, down.bytes))
  }

  /** Delivers these, which are the oldest, and some that follow. Rejects with what Redis answered. */
  async deliver(first: readonly Buffer[]): Promise<void> {
    let raw = first
    for (let rounds = 1; raw.length > 0 && this.#link.open; rounds++) {
      const letters = raw.map((each) => this.#open(each))
      const reply = (await this.#link.runForBytes(
        'deliverLetters',
        this.#plan(letters, rounds < ROUNDS),
        ...letters.map(({ text = '' }) => text),
      )) as readonly Reply[]
      if (!isStale(reply)) raw = reply as readonly Buffer[]
      else for (const [name, route] of readRoutes(this.#sep, reply[1] as readonly Reply[])) this.#routes.set(name, route)
    }
  }

  #open(raw: Buffer): Letter {
    const end = raw.indexOf(NEWLINE)
    const label = JSON.parse(raw.toString('utf8', 0, end)) as Label
    try {
      const received = receive(raw.subarray(end + 1))
      const { queue, reason, exchange, key } = label
      const copies = received.properties.headers?.['CC']
      const keys = [received.routingKey, ...(Array.isArray(copies) ? copies.filter((copy) => typeof copy === 'string') : [])]
      const letter = deadLetter(received, { queue, reason, at: this.#clock.wall(), exchange, routingKey: key }, keys)
      const { headers = {}, priority } = letter.properties
      return { raw, label, text: openEnvelope({ ...letter, body: received.body }), routingKey: letter.routingKey, headers, priority }
    } catch (error) {
      if (!(error instanceof CodecError)) throw error
      return { raw, label, text: undefined, routingKey: '', headers: {}, priority: undefined }
    }
  }

  #plan(letters: readonly Letter[], more: boolean): string {
    const exchanges = new Map<string, string>()
    const planned = letters.map(({ raw, label, text, routingKey, headers, priority }) => {
      const hash = createHash('sha1').update(raw).digest('hex')
      if (text === undefined) return [hash, '', [], label.queue]
      const { exchange } = label
      if (exchange !== '') exchanges.set(exchange, this.#routes.get(exchange)?.fingerprint ?? '?')
      const queues = exchange === '' ? [routingKey] : (this.#routes.get(exchange)?.router.route(routingKey, headers) ?? [])
      return [hash, priority ?? '', queues.filter((queue) => !circles(headers, queue))]
    })
    return JSON.stringify({ exchanges: [...exchanges], letters: planned, more, room: this.room })
  }
}

const isStale = ([first]: readonly Reply[]): boolean => Buffer.isBuffer(first) && first.byteLength === 5 && first.toString() === 'stale'
