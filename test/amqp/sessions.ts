/** Sessions of the AMQP transport with everything they report written down. */
import { randomUUID } from 'node:crypto'
import type { ConnectionError } from '../../src/core/errors.ts'
import type { Outgoing, PublishResult } from '../../src/core/message.ts'
import type { Incoming, Session, SubscribeOptions, Subscription, Transport } from '../../src/core/transport.ts'
import { amqpTransport } from '../../src/transports/amqp/index.ts'

export interface Recorded {
  readonly session: Session
  readonly deaths: ConnectionError[]
  readonly blocks: string[]
}

export interface OpenWishes {
  heartbeatMs?: number
  connectTimeoutMs?: number
  signal?: AbortSignal
  transport?: Transport
  /** Where deaths are written; given by who wants to see them when opening fails. */
  deaths?: ConnectionError[]
}

export async function openSession(url: string | URL, wishes: OpenWishes = {}): Promise<Recorded> {
  const { heartbeatMs = 10_000, connectTimeoutMs = 10_000, signal = new AbortController().signal, transport = amqpTransport } = wishes
  const { deaths = [] } = wishes
  const blocks: string[] = []
  const session = await transport.open({
    url: new URL(url),
    name: 'omnibus test',
    connectTimeoutMs,
    heartbeatMs,
    signal,
    handlers: {
      died: (reason) => void deaths.push(reason),
      blocked: (reason) => void blocks.push(`blocked: ${reason}`),
      unblocked: () => void blocks.push('unblocked'),
    },
  })
  return { session, deaths, blocks }
}

export const unique = (prefix: string): string => `${prefix}-${randomUUID()}`

export function message(routingKey: string, body: string | Uint8Array = 'x', more: Partial<Outgoing> = {}): Outgoing {
  return { exchange: '', routingKey, body: Buffer.from(body), properties: {}, mandatory: true, ...more }
}

/** Publishes and resolves with the results, in the order of the messages. */
export function publish(session: Session, messages: readonly Outgoing[]): Promise<PublishResult[]> {
  return new Promise((resolve) => {
    const results = new Map<Outgoing, PublishResult>()
    session.publish(messages, (settled, result) => {
      results.set(settled, result)
      if (results.size === messages.length) resolve(messages.map((m) => results.get(m)!))
    })
  })
}

export interface Consumed {
  readonly subscription: Subscription
  readonly deliveries: Incoming[]
  readonly bodies: string[]
  readonly cancellations: string[]
}

/** Subscribes and keeps every delivery unsettled, unless `onDelivery` says otherwise. */
export async function consume(session: Session, queue: string, options: Partial<SubscribeOptions> = {}): Promise<Consumed> {
  const deliveries: Incoming[] = []
  const bodies: string[] = []
  const cancellations: string[] = []
  const subscription = await session.subscribe({
    queue,
    prefetch: 0,
    exclusive: false,
    noAck: false,
    arguments: {},
    onCancelled: (reason) => void cancellations.push(reason),
    ...options,
    onDelivery: (delivery) => {
      deliveries.push(delivery)
      bodies.push(Buffer.from(delivery.body).toString())
      options.onDelivery?.(delivery)
    },
  })
  return { subscription, deliveries, bodies, cancellations }
}
