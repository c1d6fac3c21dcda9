/** What consumers tell of their work: how much is in hand and for how long, and how much waits. */
import type { RunningConsumer } from '../../bus/running-consumer.ts'
import type { UnitStatus } from '../../supervisor/protocol.ts'
import type { Outcomes } from './outcomes.ts'

export type Progress = Pick<UnitStatus, 'inFlight' | 'oldestMs' | 'sinceProgressMs' | 'lag' | keyof Outcomes>

/** Each count asks the broker once per consumer, so less often than it beats. Milliseconds. */
const LAG_EVERY_MS = 1_000

export function progressOf({ inFlight, oldestMs, sinceProgressMs }: RunningConsumer): Progress {
  return {
    inFlight,
    ...(oldestMs !== undefined && { oldestMs: Math.round(oldestMs) }),
    ...(sinceProgressMs !== undefined && { sinceProgressMs: Math.round(sinceProgressMs) }),
  }
}

/** Of several consumers of one instance, each with queues of its own: what waits adds up. */
export function combined(parts: readonly Progress[]): Progress {
  return merged(parts, (lags) => lags.reduce((sum, lag) => sum + lag, 0))
}

/** Of several instances of one consumer: they share its queues, so what waits is what any of them sees. */
export function shared(parts: readonly Progress[]): Progress {
  return merged(parts, (lags) => Math.max(...lags))
}

const SUMS = ['inFlight', 'handled', 'retried', 'deadLettered'] as const

function merged(parts: readonly Progress[], mergeLags: (lags: readonly number[]) => number): Progress {
  const of = (key: keyof Progress): number[] => parts.map((part) => part[key]).filter((value) => value !== undefined)
  const [oldest, recent, lags] = [of('oldestMs'), of('sinceProgressMs'), of('lag')]
  const sums = SUMS.flatMap((key) => (of(key).length > 0 ? [[key, of(key).reduce((sum, count) => sum + count, 0)] as const] : []))
  return {
    inFlight: 0,
    ...Object.fromEntries(sums),
    ...(oldest.length > 0 && { oldestMs: Math.max(...oldest) }),
    ...(recent.length > 0 && { sinceProgressMs: Math.min(...recent) }),
    ...(lags.length > 0 && { lag: mergeLags(lags) }),
  }
}

export interface Lag {
  /** As last counted; nothing before, and while the broker does not say. */
  readonly counted: Pick<Progress, 'lag'>
  watch(): void
  /** May be called twice, and without `watch`. */
  unwatch(): void
}

/** `consumers` are asked for anew each time. */
export function lagOf(consumers: () => readonly RunningConsumer[]): Lag {
  let counted: Pick<Progress, 'lag'> = {}
  let timer: NodeJS.Timeout | undefined
  let counting = false
  const count = async (): Promise<void> => {
    if (counting) return
    counting = true
    try {
      const counts = (await Promise.all(consumers().map((consumer) => consumer.lag()))).filter((lag) => lag !== undefined)
      counted = counts.length > 0 ? { lag: counts.reduce((sum, lag) => sum + lag, 0) } : {}
    } catch {
      // The broker is away or the queue is gone, which `connected` and `subscribed` say.
      counted = {}
    } finally {
      counting = false
    }
  }
  return {
    get counted() {
      return counted
    },
    watch() {
      void count()
      timer = setInterval(() => void count(), LAG_EVERY_MS).unref()
    },
    unwatch: () => clearInterval(timer),
  }
}
