/** Where messages go that nobody wants: to their queue's dead letter exchange, else where its redrive policy leads, else away. */
import type { Message } from '@aws-sdk/client-sqs'
import type { Outgoing } from '../../core/message.ts'
import type { Envelope } from '../kit/envelope.ts'
import type { Client } from './client.ts'
import type { Directory } from './directory.ts'
import { SqsFailure } from './failure.ts'
import type { Held, Holding } from './held.ts'
import type { Entry } from './message.ts'
import { isFifo } from './names.ts'
import { type Publisher, resultOf } from './publisher.ts'
import type { Source } from './receiver.ts'
import type { Topology } from './topology.ts'

export interface DeadLettersOptions {
  readonly client: Client
  readonly directory: Directory
  readonly topology: Topology
  readonly publisher: Publisher
  readonly holding: Holding
}

type Copies = readonly { readonly url: string; readonly entry: Entry }[]

export class DeadLetters {
  readonly #options: DeadLettersOptions

  constructor(options: DeadLettersOptions) {
    this.#options = options
  }

  /**
   * Deletes the message once its copies are taken. False where that failed: then it is let go, and comes again when its lease is over,
   * for SQS's own redrive policy to count.
   */
  async move(source: Source, held: Held, message: Message, envelope: Envelope): Promise<boolean> {
    const { holding } = this.#options
    try {
      const copies = (await this.#byExchange(source, message, envelope)) ?? (await this.#byPolicy(source, message))
      if (copies && (await this.#sent(copies))) return await holding.delete(held)
    } catch {
      // Told by what the promise resolves with: a settlement never throws.
    }
    holding.letGo(held)
    return false
  }

  async #sent(copies: Copies): Promise<boolean> {
    for (const { url, entry } of copies) {
      const sent = await this.#options.publisher.send(url, [entry])
      if (!sent || resultOf(sent).status !== 'confirmed') return false
    }
    return true
  }

  async #byExchange({ queue }: Source, message: Message, envelope: Envelope): Promise<Copies | undefined> {
    const { directory, topology, publisher } = this.#options
    const { 'x-dead-letter-exchange': exchange, 'x-dead-letter-routing-key': key } =
      directory.queue(topology.nameOf(queue))?.arguments ?? {}
    if (typeof exchange !== 'string') return undefined
    const routingKey = typeof key === 'string' ? key : envelope.routingKey
    const letter = letterOf(envelope, exchange, routingKey)
    const prepared = await publisher.prepare(letter ?? { exchange, routingKey, body: envelope.body, properties: {}, mandatory: false })
    // It leads nowhere, as in AMQP.
    if (prepared === 'no exchange') return []
    if (prepared === undefined || 'status' in prepared) throw new Error('it cannot be told where it leads')
    return prepared.map(([{ url, fifo }, entry]) => ({ url, entry: letter ? entry : asItCame(message, fifo) }))
  }

  async #byPolicy({ url }: Source, message: Message): Promise<Copies> {
    const target = await this.#redriveTarget(url)
    return target === undefined ? [] : [{ url: target, entry: asItCame(message, isFifo(target)) }]
  }

  async #redriveTarget(url: string): Promise<string | undefined> {
    const { client } = this.#options
    const { Attributes: attributes } = await client.call((sqs) =>
      sqs.getQueueAttributes({ QueueUrl: url, AttributeNames: ['RedrivePolicy'] }),
    )
    const policy: unknown = JSON.parse(attributes?.RedrivePolicy ?? '{}')
    const arn: unknown = typeof policy === 'object' && policy !== null ? Reflect.get(policy, 'deadLetterTargetArn') : undefined
    if (typeof arn !== 'string') return undefined
    // arn:aws:sqs:REGION:ACCOUNT:NAME
    const [, , , , account, name] = arn.split(':')
    const found = await client.call((sqs) => sqs.getQueueUrl({ QueueName: name, QueueOwnerAWSAccountId: account }))
    if (found.QueueUrl === undefined) throw new SqsFailure('gone', 'QueueDoesNotExist', `there is no queue ${arn}`, undefined)
    return found.QueueUrl
  }
}

/** Undefined for what cannot be read. */
function letterOf(envelope: Envelope, exchange: string, routingKey: string): Outgoing | undefined {
  try {
    // Its own time is over, or does not count any more.
    const { expirationMs: _, ...properties } = envelope.properties
    return { exchange, routingKey, body: envelope.body, properties, mandatory: false }
  } catch {
    return undefined
  }
}

function asItCame({ Body: body = '', Attributes: attributes, MessageAttributes: own, MessageId: id }: Message, fifo: boolean): Entry {
  return {
    MessageBody: body,
    ...(own && { MessageAttributes: own }),
    ...(fifo && { MessageGroupId: attributes?.MessageGroupId ?? 'default', MessageDeduplicationId: id ?? body.slice(0, 100) }),
  }
}
