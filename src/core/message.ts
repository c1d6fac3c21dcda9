/** What travels: bytes with AMQP's basic properties, which every transport carries in its own way. */

/** A value an AMQP field table can hold. `Date` has whole seconds on the wire. */
export type HeaderValue = string | number | bigint | boolean | null | undefined | Date | Uint8Array | readonly HeaderValue[] | Headers

export interface Headers {
  readonly [name: string]: HeaderValue
}

export interface MessageProperties {
  /** MIME type of the body; decides the codec. */
  readonly contentType?: string | undefined
  /** The charset, as Kombu writes it (`utf-8`, `binary`); not a compression. */
  readonly contentEncoding?: string | undefined
  readonly headers?: Headers | undefined
  /** Survives a restart of the broker in a durable queue. @default true when published through a `Connection` */
  readonly persistent?: boolean | undefined
  /** 0 (least urgent) to 255; only in a queue declared with `maxPriority`. */
  readonly priority?: number | undefined
  readonly correlationId?: string | undefined
  readonly replyTo?: string | undefined
  /** The message is dropped, or dead-lettered, when it has waited this long in a queue. Milliseconds. */
  readonly expirationMs?: number | undefined
  readonly messageId?: string | undefined
  /** Milliseconds since 1970; AMQP carries whole seconds. */
  readonly timestamp?: number | undefined
  readonly type?: string | undefined
  readonly userId?: string | undefined
  readonly appId?: string | undefined
}

/** A message ready to be sent: where to, what, and whether it must reach a queue. */
export interface Outgoing {
  /** Exchange name; '' is the default exchange, which routes to the queue named by the routing key. */
  readonly exchange: string
  readonly routingKey: string
  readonly body: Uint8Array
  readonly properties: MessageProperties
  /** Unroutable is an outcome of its own (`returned`) instead of silence. */
  readonly mandatory: boolean
}

export type PublishResult =
  /** The broker has taken the message. `routed` is false when it is known that no queue got it. */
  | { readonly status: 'confirmed'; readonly routed: boolean }
  /** The broker will not take it: queue full, internal error, resource limit. */
  | { readonly status: 'nacked'; readonly reason: string }
  /** Publishing this message can never work as it is (no such exchange, too large, forbidden). */
  | { readonly status: 'refused'; readonly reason: string }
