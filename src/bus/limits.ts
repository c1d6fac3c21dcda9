/** Bounds the time that a handler takes. */
import type { Clock } from '../core/clock.ts'

export interface Limit {
  /** Milliseconds. */
  readonly ms: number
  /** What the signal aborts with and, at a hard limit, the work is given up with. */
  readonly error: () => Error
  /** Does not wait for work that heeds no signal. */
  readonly hard: boolean
}

export interface Bounds {
  /** Aborts at the first limit, and when the given one does. */
  readonly signal: AbortSignal
  /** Counts from now. Rejects at a hard limit; the work may go on behind it. */
  readonly within: <T>(work: () => T | Promise<T>) => Promise<T>
}

export function bounds(limits: readonly Limit[], { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal }): Bounds {
  if (limits.length === 0) return { signal, within: async (work) => work() }
  const over = new AbortController()
  return {
    signal: AbortSignal.any([signal, over.signal]),
    within: async (work) => {
      const late = Promise.withResolvers<never>()
      const timers = limits.map(({ ms, error: errorOf, hard }) =>
        clock.after(ms, () => {
          const error = errorOf()
          over.abort(error)
          if (hard) late.reject(error)
        }),
      )
      try {
        return await Promise.race([work(), late.promise])
      } finally {
        for (const timer of timers) timer.cancel()
      }
    },
  }
}
