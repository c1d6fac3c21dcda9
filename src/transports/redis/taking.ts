import { CodecError, TopologyError } from '../../core/errors.ts'
import type { Reply } from './client.ts'
import { receive, type Received } from './envelope.ts'
import type { Link } from './link.ts'

/** What one subscription, or nobody in particular (`consumer` is ''), wants of a queue. */
export interface Ask {
  readonly queue: string
  readonly wanted: number
  readonly noAck: boolean
  readonly consumer: string
}

export interface Taken {
  /** Its field in Kombu's books; '' where it needs no ack. */
  readonly field: string
  readonly received: Received
}

/** To one `Ask`. */
export interface Answer {
  /** Why the queue gave nothing and will give nothing. */
  readonly refusal: string | undefined
  /** Messages that left the queue, with those that could not be read. */
  readonly got: number
  readonly messages: readonly Taken[]
}

export interface Answers {
  readonly answers: readonly Answer[]
  /** It was the size of the messages that ended it, and not the queues. */
  readonly full: boolean
}

export interface TakingOptions {
  readonly link: Link
  readonly onUnreadable: (queue: string, error: unknown) => void
}

/** Takes messages out of queues. What cannot be read is put aside. */
export class Taking {
  readonly #options: TakingOptions
  #numbered = 0

  constructor(options: TakingOptions) {
    this.#options = options
  }

  /** One answer for each. Rejects with what Redis answered. */
  async take(asks: readonly Ask[]): Promise<Answers> {
    const { link } = this.#options
    const { down } = link.pace
    const numbered = asks.map(({ queue, wanted, noAck, consumer }) => {
      const first = this.#numbered
      this.#numbered += wanted
      return [queue, wanted, noAck, consumer, first]
    })
    const room = down.bytes
    const replies = await down.carry(
      async () => (await link.runForBytes('take', JSON.stringify(numbered), String(room))) as Reply[],
      sizeOf,
    )
    for (const queue of (replies[asks.length] ?? []) as readonly Buffer[]) this.#options.onUnreadable(queue.toString(), unsound())
    return { answers: asks.map(({ queue }, i) => this.#answer(queue, replies[i]!)), full: sizeOf(replies) >= room }
  }

  /** Takes one message for nobody in particular. Rejects with `TopologyError`, or with what Redis answered. */
  async get(queue: string): Promise<Taken | undefined> {
    for (;;) {
      const { answers } = await this.take([{ queue, wanted: 1, noAck: false, consumer: '' }])
      const { refusal, got, messages } = answers[0]!
      if (refusal !== undefined) throw new TopologyError(`Fetching from queue "${queue}" was refused: ${refusal} (406)`, 406)
      if (messages.length > 0 || got === 0) return messages[0]
    }
  }

  #answer(queue: string, reply: Reply): Answer {
    if (Buffer.isBuffer(reply)) {
      const text = reply.toString()
      return {
        refusal: text === 'gone' ? `queue "${queue}" was deleted` : `queue "${queue}" cannot be read: ${text}`,
        got: 0,
        messages: [],
      }
    }
    const parts = reply as readonly Buffer[]
    const messages: Taken[] = []
    for (let i = 0; i < parts.length; i += 2) {
      const field = parts[i]!.toString('latin1')
      const received = this.#read(queue, field, parts[i + 1]!)
      if (received) messages.push({ field, received })
    }
    return { refusal: undefined, got: parts.length / 2, messages }
  }

  #read(queue: string, field: string, text: Buffer): Received | undefined {
    try {
      return receive(text)
    } catch (error) {
      const { link, onUnreadable } = this.#options
      const put = link.run('putAside', queue, field, field === '' ? text : '')
      put.catch((failure: unknown) => void link.verdict(failure))
      onUnreadable(queue, error)
      return undefined
    }
  }
}

/** What the script puts aside before anybody here sees it. */
const unsound = (): CodecError => new CodecError('The envelope is no JSON, or nested deeper than the 1000 levels that Redis reads')

/** Bytes of the messages in an answer; their fields are nothing beside them. */
function sizeOf(replies: readonly Reply[]): number {
  let bytes = 0
  for (const reply of replies) {
    if (!Array.isArray(reply)) continue
    for (let i = 1; i < reply.length; i += 2) bytes += (reply[i] as Buffer).byteLength
  }
  return bytes
}
