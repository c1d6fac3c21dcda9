/** How a consumer handles its messages; never part of the queue's own declaration. */
import { flag, instance, readOptions, whole } from '../core/options.ts'
import type { Inbox } from './inbox.ts'
import type { RetryPolicy } from './retry.ts'

export interface ConsumePolicy<Transaction = undefined> {
  /** Handlers at work at a time, per instance. @default 1 */
  concurrency?: number
  /** What happens after a throw. @default exponential(), five attempts; for broadcast none */
  retry?: RetryPolicy
  /** Messages given up go to the queue `<name>.dlq`. Without, they are rejected to the queue's own dead letter exchange, or dropped. @default true */
  deadLetter?: boolean
  /** A handler that takes longer has failed; its signal aborts. Milliseconds. @default none */
  timeoutMs?: number
  /** A message whose handler took its process down this often is given up, where the broker counts deliveries. @default 5 */
  maxDeaths?: number
  /**
   * Handlers write in a transaction of it, `context.transaction`, and what they write happens once, however often the message comes. A
   * message without an id ends in the dead letters. Not for broadcast. @default none
   */
  inbox?: Inbox<Transaction>
}

type Optional = 'timeoutMs' | 'inbox'

export type ResolvedPolicy = Required<Omit<ConsumePolicy<unknown>, Optional>> & Pick<ConsumePolicy<unknown>, Optional>

/** Throws `ConfigError`. */
export function readPolicy(subject: string, policy: ConsumePolicy<unknown>, retry: RetryPolicy): ResolvedPolicy {
  return readOptions<ConsumePolicy<unknown>>(
    subject,
    {
      concurrency: whole({ min: 1, fallback: 1 }),
      retry: instance(
        'a retry policy, such as exponential()',
        (value): value is RetryPolicy => typeof value === 'object' && value !== null && 'delayMs' in value,
        retry,
      ),
      deadLetter: flag(true),
      timeoutMs: whole({ min: 1 }),
      maxDeaths: whole({ min: 1, fallback: 5 }),
      inbox: instance(
        'an inbox, such as postgresInbox(pool)',
        (value): value is Inbox<unknown> =>
          typeof value === 'object' && value !== null && 'once' in value && typeof value.once === 'function',
      ),
    },
    policy,
  ) as ResolvedPolicy
}
