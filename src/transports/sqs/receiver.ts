/** Messages as SQS hands them out, made into deliveries: those whose time has not come or is over are seen to without one. */
import type { Message } from '@aws-sdk/client-sqs'
import type { Clock } from '../../core/clock.ts'
import type { MessageProperties } from '../../core/message.ts'
import type { Incoming, Settlement } from '../../core/transport.ts'
import type { Envelope } from '../kit/envelope.ts'
import type { Address } from './address.ts'
import type { Client } from './client.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Held, Holding } from './held.ts'
import { dueInMs, readMessage, SYSTEM_ATTRIBUTES } from './message.ts'

export interface ReceiverOptions {
  readonly client: Client
  readonly holding: Holding
  readonly deadLetters: DeadLetters
  readonly address: Address
  readonly clock: Clock
}

/** The queue a message came from: where it is, and by which name it was asked for. */
export interface Source {
  readonly url: string
  readonly queue: string
}

export interface Asking {
  readonly most: number
  /** Seconds. */
  readonly wait: number
  readonly signal?: AbortSignal
}

/** The longest that SQS hides a message. Seconds. */
const LONGEST_HIDDEN = 43_200

export class Receiver {
  readonly #options: ReceiverOptions

  constructor(options: ReceiverOptions) {
    this.#options = options
  }

  async receive({ url }: Source, { most, wait, signal }: Asking): Promise<readonly Message[]> {
    const { client, address } = this.#options
    const input = {
      QueueUrl: url,
      MaxNumberOfMessages: most,
      WaitTimeSeconds: wait,
      VisibilityTimeout: address.lease,
      MessageSystemAttributeNames: [...SYSTEM_ATTRIBUTES],
      MessageAttributeNames: ['All'],
    }
    const answer = await client.call((sqs) => sqs.receiveMessage(input, signal ? { abortSignal: signal } : {}))
    return answer.Messages ?? []
  }

  /** A delivery, held until it is settled; `onSettled` follows. Undefined where the message is not to be handled now, or not any more. */
  take(source: Source, message: Message, onSettled: () => void = () => undefined): Incoming | undefined {
    const { holding, deadLetters, clock } = this.#options
    const held: Held = { url: source.url, receipt: message.ReceiptHandle ?? '' }
    holding.hold(held)
    const envelope = readMessage(message, source.queue)
    const waitMs = dueInMs(message, clock.wall())
    if (waitMs > 0) {
      void holding.giveBack(held, Math.min(LONGEST_HIDDEN, Math.ceil(waitMs / 1_000)))
      return undefined
    }
    if (isOver(message, envelope, clock.wall())) {
      void deadLetters.move(source, held, message, envelope)
      return undefined
    }
    return new Delivery(source, message, envelope, this.#settler(source, held, message, envelope, onSettled))
  }

  /** For a subscription without acks: the message is deleted before anybody sees it. Undefined where it could not be. */
  async takeForGood(source: Source, message: Message): Promise<Incoming | undefined> {
    const deleted = await this.#options.holding.delete({ url: source.url, receipt: message.ReceiptHandle ?? '' })
    return deleted ? new Delivery(source, message, readMessage(message, source.queue), () => true) : undefined
  }

  /** For others: it came when nobody here wanted it any more. */
  async giveBack({ url }: Source, messages: readonly Message[]): Promise<void> {
    await Promise.all(messages.map(({ ReceiptHandle: receipt = '' }) => this.#options.holding.giveBack({ url, receipt })))
  }

  /** Fetches and deletes all that is ready; `PurgeQueue` would take what others hold, tell no number, and answer once a minute. */
  async purge(source: Source): Promise<number> {
    const { address, holding } = this.#options
    let purged = 0
    for (;;) {
      const messages = await this.receive(source, { most: 10, wait: Math.min(1, address.waitTime) })
      if (messages.length === 0) return purged
      const deleted = await Promise.all(messages.map(({ ReceiptHandle: receipt = '' }) => holding.delete({ url: source.url, receipt })))
      purged += deleted.filter(Boolean).length
    }
  }

  #settler(source: Source, held: Held, message: Message, envelope: Envelope, onSettled: () => void): Incoming['settle'] {
    const { client, holding, deadLetters } = this.#options
    let told: Promise<boolean> | undefined
    const tell = (settlement: Settlement): Promise<boolean> => {
      if (settlement === 'ack') return holding.delete(held)
      if (settlement === 'reject') return deadLetters.move(source, held, message, envelope)
      return holding.giveBack(held)
    }
    return (settlement) => {
      if (told) return told
      if (!client.open) return false
      told = tell(settlement)
      onSettled()
      return told
    }
  }
}

class Delivery implements Incoming {
  readonly queue: string
  readonly redelivered: boolean
  readonly deliveryCount: number
  readonly settle: Incoming['settle']
  readonly #envelope: Envelope

  constructor({ queue }: Source, message: Message, envelope: Envelope, settle: Incoming['settle']) {
    this.queue = queue
    this.deliveryCount = Math.max(0, Number(message.Attributes?.ApproximateReceiveCount ?? 1) - 1)
    this.redelivered = this.deliveryCount > 0 || envelope.redelivered
    this.settle = settle
    this.#envelope = envelope
  }

  get body(): Uint8Array {
    return this.#envelope.body
  }

  get properties(): MessageProperties {
    return this.#envelope.properties
  }

  get exchange(): string {
    return this.#envelope.exchange
  }

  get routingKey(): string {
    return this.#envelope.routingKey
  }
}

/** SQS drops nothing before its queue's retention period, so a message's own time is looked at when it comes. */
function isOver({ Attributes: attributes }: Message, envelope: Envelope, now: number): boolean {
  const expirationMs = expirationOf(envelope)
  return expirationMs !== undefined && Number(attributes?.SentTimestamp ?? now) + expirationMs <= now
}

function expirationOf(envelope: Envelope): number | undefined {
  try {
    return envelope.properties.expirationMs
  } catch {
    // Cannot be read: whoever handles it is told why.
    return undefined
  }
}
