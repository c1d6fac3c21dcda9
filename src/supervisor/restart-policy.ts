/** When a crashed unit is started again, and when it is given up. */
import type { ResolvedRestart } from '../config/unit.ts'

export interface Crashes {
  /** When it crashed, within the window; the latest last. */
  readonly at: readonly number[]
}

export const NO_CRASHES: Crashes = Object.freeze({ at: Object.freeze([]) })

export type Verdict =
  | { readonly crashes: Crashes; readonly giveUp: true }
  | { readonly crashes: Crashes; readonly giveUp: false; readonly delayMs: number }

/**
 * Counts a crash. The wait doubles with each crash in the window, up to `maxMs`, and `random` (0 to 1) takes up to half of
 * it away, so that units that crashed together do not come back together.
 */
export function afterCrash(before: Crashes, policy: ResolvedRestart, now: number, random: number): Verdict {
  const at = [...before.at.filter((time) => now - time < policy.windowMs), now]
  if (at.length >= policy.maxCrashes) return { crashes: { at }, giveUp: true }
  const full = Math.min(policy.maxMs, policy.minMs * 2 ** (at.length - 1))
  return { crashes: { at }, giveUp: false, delayMs: full * (1 - random / 2) }
}
