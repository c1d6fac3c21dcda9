/**
 * Fanout exchanges as topics of SNS, as Kombu has them with `supports_fanout`: one publish reaches every queue that is subscribed, whoever
 * has subscribed it. SNS must be let into each queue by the queue's own policy.
 */
import type { Clock } from '../../core/clock.ts'
import { TopologyError } from '../../core/errors.ts'
import type { SnsAddress } from './address.ts'
import type { Client } from './client.ts'
import { SqsFailure, topologyError } from './failure.ts'
import { isFifo, snsName } from './names.ts'
import { allowing } from './policy.ts'

export interface TopicsOptions {
  readonly client: Client
  readonly sns: SnsAddress
  /** Of queues, and so of topics. */
  readonly prefix: string
  readonly clock: Clock
}

/** Where somebody is subscribed, it is not asked again for so long; where nobody is, it is soon. Milliseconds. */
const HEARD_MS = 60_000
const UNHEARD_MS = 1_000
/** SNS refuses to make a topic that is there with other tags, so these must be Kombu's. */
const KOMBUS_TAGS = [
  { Key: 'ManagedBy', Value: 'Celery/Kombu' },
  { Key: 'Description', Value: 'This SNS topic is used by Kombu to enable Fanout support for AWS SQS.' },
]
/** As Kombu subscribes: SNS refuses to subscribe a queue a second time with other attributes. */
const RAW = { RawMessageDelivery: 'true' }

export class Topics {
  readonly #options: TopicsOptions
  /** By exchange. */
  readonly #arns = new Map<string, string>()
  /** By topic: whether somebody is subscribed, and when that was asked. */
  readonly #heard = new Map<string, { readonly any: boolean; readonly at: number }>()

  constructor(options: TopicsOptions) {
    this.#options = options
  }

  /** The topic of an exchange, made if it is not there. Rejects with `TopologyError`. */
  async arnOf(exchange: string): Promise<string> {
    const { client, sns, prefix } = this.#options
    const known = this.#arns.get(exchange) ?? sns.predefined?.get(exchange)
    if (known !== undefined) return known
    if (sns.predefined) throw new TopologyError(`Exchange "${exchange}" is not among predefined_exchanges, and no other topic is made`, 404)
    const Name = snsName(exchange, prefix)
    const Attributes = isFifo(Name) ? { FifoTopic: 'true' } : {}
    const { TopicArn: arn } = await asked(`Making exchange "${exchange}" a topic of SNS`, () =>
      client.callSns((service) => service.createTopic({ Name, Attributes, Tags: KOMBUS_TAGS })),
    )
    this.#arns.set(exchange, arn!)
    return arn!
  }

  /** Subscribes a queue, and lets SNS into it before. Rejects with `TopologyError`. */
  async subscribe(url: string, exchanges: ReadonlySet<string>): Promise<void> {
    if (exchanges.size === 0) return
    const { client } = this.#options
    const arns = await Promise.all([...exchanges].map((exchange) => this.arnOf(exchange)))
    const { QueueArn: Endpoint, Policy: given } = await this.#attributesOf(url)
    const Policy = allowing(given, Endpoint!, arns)
    if (Policy !== undefined) await client.call((sqs) => sqs.setQueueAttributes({ QueueUrl: url, Attributes: { Policy } }))
    for (const arn of arns) {
      await asked(`Subscribing to ${arn}`, () =>
        client.callSns((sns) => sns.subscribe({ TopicArn: arn, Protocol: 'sqs', Endpoint, Attributes: RAW })),
      )
      this.#hear(arn, true)
    }
  }

  /** A queue that is not subscribed is no error, nor is a topic that is gone. Rejects with `TopologyError`. */
  async unsubscribe(url: string, exchange: string): Promise<void> {
    const { client } = this.#options
    const arn = await this.arnOf(exchange)
    this.#heard.delete(arn)
    await asked(`Unsubscribing from ${arn}`, async () => {
      const { QueueArn: queueArn } = await this.#attributesOf(url)
      for await (const { Endpoint, SubscriptionArn } of this.#subscriptions(arn))
        if (Endpoint === queueArn) await client.callSns((sns) => sns.unsubscribe({ SubscriptionArn }))
    })
  }

  /** With its subscriptions. One that is not there is no error. Rejects with `TopologyError`. */
  async delete(exchange: string): Promise<void> {
    const { client, sns } = this.#options
    if (sns.predefined) throw new TopologyError(`Exchange "${exchange}" is one of predefined_exchanges, which are not deleted`, 403)
    const arn = await this.arnOf(exchange)
    this.forget(arn)
    await asked(`Deleting exchange "${exchange}"`, () => client.callSns((service) => service.deleteTopic({ TopicArn: arn })))
  }

  /** Whether any queue, or anything else, is subscribed; taken for granted where we may not know. */
  async heard(arn: string): Promise<boolean> {
    const known = this.#heard.get(arn)
    if (known && this.#options.clock.monotonic() - known.at < (known.any ? HEARD_MS : UNHEARD_MS)) return known.any
    try {
      const { done } = await this.#subscriptions(arn).next()
      return this.#hear(arn, done !== true)
    } catch (error) {
      if (!(error instanceof SqsFailure)) throw error
      return this.#hear(arn, error.kind !== 'gone')
    }
  }

  /** SNS says there is no such topic any more; who needs it makes it again. */
  forget(arn: string): void {
    this.#heard.delete(arn)
    for (const [exchange, known] of this.#arns) if (known === arn) this.#arns.delete(exchange)
  }

  #hear(arn: string, any: boolean): boolean {
    this.#heard.set(arn, { any, at: this.#options.clock.monotonic() })
    return any
  }

  async #attributesOf(url: string) {
    const AttributeNames: ('QueueArn' | 'Policy')[] = ['QueueArn', 'Policy']
    const { Attributes } = await this.#options.client.call((sqs) => sqs.getQueueAttributes({ QueueUrl: url, AttributeNames }))
    return Attributes ?? {}
  }

  /** A hundred at a time. */
  async *#subscriptions(arn: string) {
    let token: string | undefined
    do {
      const asking = { TopicArn: arn, ...(token === undefined ? {} : { NextToken: token }) }
      const page = await this.#options.client.callSns((sns) => sns.listSubscriptionsByTopic(asking))
      yield* page.Subscriptions ?? []
      token = page.NextToken
    } while (token !== undefined)
  }
}

async function asked<T>(what: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    throw topologyError(`${what} was refused`, error)
  }
}
