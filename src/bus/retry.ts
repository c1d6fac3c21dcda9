/** Retry policies, and the wait queues in which a message spends the time until its next attempt. */
import { type Queue, queue } from '../core/entities.ts'
import { readOptions, whole } from '../core/options.ts'

export interface RetryPolicy {
  /** How often a message is handled before it is given up, the first time included. */
  readonly attempts: number
  /** The wait after the `attempt`-th failure (1 is the first). Milliseconds. */
  delayMs(attempt: number): number
}

export interface ExponentialOptions {
  /** The first time included. @default 5 */
  attempts?: number
  /** @default 1_000 */
  minMs?: number
  /** @default 300_000 */
  maxMs?: number
}

/**
 * Waits that double from `minMs` to `maxMs`. They carry no jitter: each distinct wait is a queue of its own, and
 * messages that fail together were spread by their handlers already.
 */
export function exponential(options: ExponentialOptions = {}): RetryPolicy {
  const fields = {
    attempts: whole({ min: 1, fallback: 5 }),
    minMs: whole({ min: 1, fallback: 1_000 }),
    maxMs: whole({ min: 1, fallback: 300_000 }),
  }
  const { attempts = 5, minMs = 1_000, maxMs = 300_000 } = readOptions<ExponentialOptions>('exponential()', fields, options)
  return Object.freeze({ attempts, delayMs: (attempt: number) => Math.min(maxMs, minMs * 2 ** (attempt - 1)) })
}

/** The first failure is final. */
export const noRetry: RetryPolicy = Object.freeze({ attempts: 1, delayMs: () => 0 })

/**
 * The queue whose messages return to `target` after `ms`: it has no consumer, and its TTL dead-letters to the default
 * exchange. It stays when empty, for an expiring queue could take a late message with it.
 */
export function waitQueue(target: Queue, ms: number): Queue {
  return queue(`${target.name}.wait.${ms}`, {
    type: target.type,
    messageTtlMs: ms,
    deadLetterExchange: '',
    deadLetterRoutingKey: target.name,
    // RabbitMQ loses a dead letter if it dies in between, unless a quorum queue is told otherwise (its docs, "DLX", at-least-once).
    ...(target.type === 'quorum' ? { overflow: 'reject-publish' as const, arguments: { 'x-dead-letter-strategy': 'at-least-once' } } : {}),
  })
}

/** Up to the next of 1, 2, 5, 10, 20, 50, … so that asked-for waits share a few queues. */
export function roundUpMs(ms: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, ms)))
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= ms) ?? 10 * power
}

/** The last wait before a time takes it up; what is left is not worth another. Milliseconds. */
const LAST_STEP_MS = 100

/**
 * The next wait on the way to a time: down to such a step, so that a few of them in turn come to any time, and none too early. At most
 * 10⁹ ms, which any broker can count.
 */
export function stepMs(ms: number): number {
  if (ms <= LAST_STEP_MS) return roundUpMs(ms)
  const power = Math.min(1e9, 10 ** Math.floor(Math.log10(Math.max(1, ms))))
  return [5, 2, 1].map((step) => step * power).find((step) => step <= Math.min(ms, 1e9)) ?? power
}

/** Where messages of `target` end that could not be handled. */
export function deadLetterQueue(target: Queue): Queue {
  return queue(`${target.name}.dlq`, { type: target.type })
}
