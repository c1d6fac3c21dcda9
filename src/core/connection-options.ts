/** What can be said when connecting, publishing and consuming, and what a connection reports. */
import type { Clock } from './clock.ts'
import type { Compression } from './codec-compression.ts'
import type { CodecOptions } from './codecs.ts'
import type { CredentialsSource } from './credentials.ts'
import type { ConnectionError } from './errors.ts'
import type { Headers, MessageProperties } from './message.ts'

export interface ConnectionOptions extends CodecOptions {
  /** Shown by brokers that show names. @default 'omnibus' */
  readonly name?: string
  /**
   * Username and password, asked for before every attempt to connect and before they expire. They stand instead of those
   * in the URL. @default the URL's
   */
  readonly credentials?: CredentialsSource
  /**
   * A password that would go over a network without TLS: tell by the event `clear-text`, or refuse to connect.
   * @default 'warn', since brokers in private networks are the rule
   */
  readonly clearText?: 'warn' | 'refuse' | 'allow'
  /** Opening one session may take this long. Milliseconds. @default 5_000 */
  readonly connectTimeoutMs?: number
  /** Interval of heartbeats; a silent broker is given up after two to three. Milliseconds, 0 for none. @default 10_000 */
  readonly heartbeatMs?: number
  /** Every publish, declaration and query settles within this. Milliseconds. @default 10_000 */
  readonly deadlineMs?: number
  /** Most unconfirmed messages at a time; further publishes wait. @default 1_000 */
  readonly maxInFlight?: number
  /** Between attempts to connect: doubled each pass over the hosts, with jitter. @default { minMs: 100, maxMs: 30_000 } */
  readonly backoff?: { readonly minMs: number; readonly maxMs: number }
  /** Everything worth a log line. Must not throw. @default nothing */
  readonly onEvent?: (event: ConnectionEvent) => void
  readonly clock?: Clock
}

export type Purpose = 'publish' | 'consume'

export type ConnectionEvent =
  | { readonly type: 'up'; readonly purpose: Purpose }
  | { readonly type: 'down'; readonly purpose: Purpose; readonly error: ConnectionError; readonly retryInMs: number }
  | { readonly type: 'clear-text'; readonly reason: string }
  | { readonly type: 'warning'; readonly reason: string }
  | { readonly type: 'credentials-failed'; readonly error: unknown }
  | { readonly type: 'blocked'; readonly reason: string }
  | { readonly type: 'unblocked' }
  | { readonly type: 'cancelled'; readonly queue: string; readonly reason: string }
  | { readonly type: 'redeclare-failed'; readonly name: string; readonly error: unknown }
  | { readonly type: 'resubscribe-failed'; readonly queue: string; readonly error: unknown }
  | { readonly type: 'handler-failed'; readonly queue: string; readonly error: unknown }

export interface PublishOptions extends MessageProperties {
  /** Compresses the body, and says so in the header `compression`, as Kombu does. @default none */
  readonly compression?: Compression
  /** @default the connection's `deadlineMs` */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
  /** Reject when no queue gets the message. @default true */
  readonly mandatory?: boolean
}

export interface ConsumeOptions {
  /** Most unsettled deliveries at a time; 0 is no limit. @default 100 */
  readonly prefetch?: number
  /** No other consumer may be on the queue. @default false */
  readonly exclusive?: boolean
  /** The broker forgets messages as it sends them; what a crash holds is lost. @default false */
  readonly noAck?: boolean
  /**
   * For a queue with a single active consumer, with `prefetch: 1`: at a stop the message in hand is finished before the next
   * consumer gets one. What is not finished by the stop's deadline goes back, in its place, when the connection closes. @default false
   */
  readonly ordered?: boolean
  /** Rejects with `ConnectionError` when not subscribed by then; it keeps trying until then. Milliseconds. @default Infinity */
  readonly deadlineMs?: number
  /** `x-priority`, `x-stream-offset` and the like. */
  readonly arguments?: Headers
}
