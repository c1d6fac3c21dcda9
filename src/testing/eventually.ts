import { sleep, systemClock } from '../core/clock.ts'

const POLL_MS = 10

/** Polls until `condition` holds and resolves with what it returned. Rejects when `deadlineMs` has passed, naming `what`. */
export async function eventually<T>(
  what: string,
  condition: () => T | Promise<T>,
  deadlineMs = 20_000,
): Promise<Exclude<T, undefined | false>> {
  const endsAt = systemClock.monotonic() + deadlineMs
  for (;;) {
    const value = await condition()
    if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>
    if (systemClock.monotonic() >= endsAt) throw new Error(`Waited ${deadlineMs} ms for ${what}`)
    await sleep(POLL_MS)
  }
}
