/** What ends a process or a thread before its time. */
import { channel } from 'node:diagnostics_channel'

/** Messages are what was thrown. */
export const FAILURE_CHANNEL = 'omnibus:failure'

const failures = channel(FAILURE_CHANNEL)

/** True where somebody listens, and tells it in place of the log. */
export function tellFailure(error: unknown): boolean {
  failures.publish(error)
  return failures.hasSubscribers
}
