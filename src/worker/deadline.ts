import { systemClock, type Clock } from '../core/clock.ts'

/** A moment by which something has to be done. */
export interface Deadline {
  /** Milliseconds left, never below 0. */
  remainingMs(): number
  /** An earlier deadline that leaves `share` (0 to 1) of what is left now to the steps after it. */
  leaving(share: number): Deadline
}

export function deadlineIn(ms: number, clock: Clock = systemClock): Deadline {
  const at = clock.monotonic() + ms
  const remainingMs = (): number => Math.max(0, at - clock.monotonic())
  return { remainingMs, leaving: (share) => deadlineIn(remainingMs() * (1 - share), clock) }
}

/** Waits for `work` no longer than `ms`. False when the time ran out; a rejection passes through. */
export async function within(ms: number, work: Promise<unknown>, clock: Clock = systemClock): Promise<boolean> {
  const { promise: timeout, resolve } = Promise.withResolvers<boolean>()
  const timer = clock.after(ms, () => resolve(false))
  try {
    return await Promise.race([work.then(() => true), timeout])
  } finally {
    timer.cancel()
  }
}

/** The result of `work`, or a rejection with the signal's reason as soon as it aborts. */
export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
