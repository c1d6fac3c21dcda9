/** Waiting for conditions, never for time. */
import { setTimeout as pause } from 'node:timers/promises'

export interface WaitOptions {
  /** What is waited for, as it reads after "waited for": `the queue to be empty`. */
  what: string
  /** A failure, not an expectation: choose it far beyond what a slow machine needs. @default 20_000 */
  deadlineMs?: number
  /** @default 20 */
  everyMs?: number
}

export type Truthy<T> = Exclude<T, false | 0 | '' | null | undefined>

/**
 * Polls until `condition` returns something truthy, and resolves with it. A condition that throws counts as not yet
 * true; the last error is told when the deadline passes.
 */
export async function waitFor<T>(condition: () => T | Promise<T>, options: WaitOptions): Promise<Truthy<T>> {
  const { what, deadlineMs = 20_000, everyMs = 20 } = options
  const end = performance.now() + deadlineMs
  let seen: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value) return value as Truthy<T>
      seen = value
    } catch (error) {
      seen = error
    }
    if (performance.now() >= end) throw new Error(`waited ${deadlineMs} ms for ${what}; last seen: ${describe(seen)}`)
    await pause(everyMs)
  }
}

/** Rejects with a clear text when `promise` has not settled by the deadline. */
export async function within<T>(promise: Promise<T>, options: Omit<WaitOptions, 'everyMs'>): Promise<T> {
  const { what, deadlineMs = 20_000 } = options
  const timer = new AbortController()
  try {
    return await Promise.race([
      promise,
      pause(deadlineMs, undefined, { signal: timer.signal }).then(() => {
        throw new Error(`waited ${deadlineMs} ms for ${what}`)
      }),
    ])
  } finally {
    timer.abort()
  }
}

function describe(value: unknown): string {
  if (value instanceof Error) return value.stack ?? value.message
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return String(value)
  }
}
