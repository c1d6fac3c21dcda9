import type { BatchResultErrorEntry } from '@aws-sdk/client-sqs'
import type { Clock } from '../../core/clock.ts'
import { CodecError, messageOf, TopologyError } from '../../core/errors.ts'
import type { Outgoing, PublishResult } from '../../core/message.ts'
import type { Session } from '../../core/transport.ts'
import type { Address } from './address.ts'
import { Batches } from './batches.ts'
import type { Client } from './client.ts'
import { type FailureKind, kindOf, SqsFailure } from './failure.ts'
import { type Entry, type Identities, sizeOf, writeMessage } from './message.ts'
import type { Target } from './routes.ts'
import type { Topology } from './topology.ts'

type Settled = Parameters<Session['publish']>[1]

export interface PublisherOptions {
  readonly client: Client
  readonly topology: Topology
  readonly address: Address
  readonly identities: Identities
  readonly clock: Clock
}

/** What became of one copy. */
type Copied = { readonly ok: true } | { readonly ok: false; readonly kind: FailureKind; readonly reason: string }

export class Publisher {
  readonly #options: PublisherOptions
  readonly #batches: Batches<Entry, Copied>
  /** Messages are routed one after the other, which keeps them in order. */
  #routing: Promise<void> = Promise.resolve()

  constructor(options: PublisherOptions) {
    this.#options = options
    this.#batches = new Batches({ lanes: 1, sizeOf, send: (url, entries) => this.send(url, entries) })
  }

  publish(messages: readonly Outgoing[], settled: Settled): void {
    this.#routing = this.#routing.then(async () => {
      for (const message of messages) await this.#publishOne(message, settled)
    })
  }

  /** The targets of a message and what goes there, or why that cannot be told. Undefined when the session is dead. */
  async prepare(message: Outgoing): Promise<readonly (readonly [Target, Entry])[] | 'no exchange' | PublishResult | undefined> {
    try {
      const targets = await this.#options.topology.routes.targets(message)
      if (targets === undefined) return 'no exchange'
      const { address, identities, clock } = this.#options
      const writing = { base64: address.base64, identities, now: clock.wall() }
      return targets.map((target) => [target, writeMessage(message, target, writing)] as const)
    } catch (error) {
      if (error instanceof TopologyError || error instanceof CodecError) return { status: 'refused', reason: error.message }
      // A question about where it goes was throttled.
      return this.#options.client.open ? { status: 'nacked', reason: messageOf(error) } : undefined
    }
  }

  /** One batch. Undefined when the session is dead. */
  async send(url: string, entries: readonly Entry[]): Promise<readonly Copied[] | undefined> {
    const { topology } = this.#options
    try {
      const failed = await this.#askFor(url, entries)
      return entries.map((entry, i): Copied => {
        const failure = failed.find(({ Id }) => Id === String(i))
        if (!failure) return { ok: true }
        const kind = kindOf(failure.Code)
        // SQS's own trouble, not the message's.
        return {
          ok: false,
          kind: kind === 'refused' && failure.SenderFault === false ? 'throttled' : kind,
          reason: reasonOf(url, entry, `${failure.Message ?? ''} (${failure.Code ?? ''})`),
        }
      })
    } catch (error) {
      if (!(error instanceof SqsFailure)) return undefined
      if (error.kind === 'gone') topology.forget(url)
      if (error.kind === 'refused' && entries.length > 1) return this.#sendApart(url, entries)
      return entries.map((entry) => ({ ok: false, kind: error.kind, reason: reasonOf(url, entry, error.message) }))
    }
  }

  /** Resolves with what is not taken. */
  async #askFor(url: string, entries: readonly Entry[]): Promise<readonly BatchResultErrorEntry[]> {
    const { client } = this.#options
    const Entries = entries.map((entry, i) => ({ ...entry, Id: String(i) }))
    if (!isTopic(url)) return (await client.call((sqs) => sqs.sendMessageBatch({ QueueUrl: url, Entries }))).Failed ?? []
    const PublishBatchRequestEntries = Entries.map(({ MessageBody: Message, ...entry }) => ({ ...entry, Message }))
    return (await client.callSns((sns) => sns.publishBatch({ TopicArn: url, PublishBatchRequestEntries }))).Failed ?? []
  }

  /** What SQS refuses as a whole may be one message's fault. */
  async #sendApart(url: string, entries: readonly Entry[]): Promise<readonly Copied[] | undefined> {
    const results: Copied[] = []
    for (const entry of entries) {
      const sent = await this.send(url, [entry])
      if (!sent) return undefined
      results.push(...sent)
    }
    return results
  }

  async #publishOne(message: Outgoing, settled: Settled): Promise<void> {
    const prepared = await this.prepare(message)
    if (prepared === undefined || !this.#options.client.open) return
    if (prepared === 'no exchange') return settled(message, { status: 'refused', reason: `there is no exchange "${message.exchange}"` })
    if ('status' in prepared) return settled(message, prepared)
    if (prepared.length === 0) return settled(message, { status: 'confirmed', routed: false })
    const heard = prepared.some(([{ topic }]) => topic?.heard ?? true)
    const copies: Copied[] = []
    for (const [{ url }, entry] of prepared) {
      this.#batches.add(url, entry, (copied) => {
        if (copies.push(copied) === prepared.length && this.#options.client.open) settled(message, resultOf(copies, heard))
      })
    }
  }
}

/** Taken only where every queue that is there has it: the others have it then, and will have it twice if it is published again. */
export function resultOf(copies: readonly Copied[], heard = true): PublishResult {
  const failed = copies.find((copied) => !copied.ok && copied.kind !== 'gone')
  if (failed && !failed.ok) return { status: failed.kind === 'throttled' ? 'nacked' : 'refused', reason: failed.reason }
  return { status: 'confirmed', routed: heard && copies.some(({ ok }) => ok) }
}

const isTopic = (url: string): boolean => url.startsWith('arn:')

function reasonOf(url: string, entry: Entry, text: string): string {
  return `${isTopic(url) ? 'topic' : 'queue'} "${url.slice(Math.max(url.lastIndexOf('/'), url.lastIndexOf(':')) + 1)}": ${text.trim()}; the message takes ${sizeOf(entry)} bytes there`
}
