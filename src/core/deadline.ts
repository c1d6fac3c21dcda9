import type { Clock } from './clock.ts'
import { ConnectionError } from './errors.ts'

/** What the broker answers, if it does by `endsAt`, on the monotonic clock; else rejects with `ConnectionError`. */
export async function by<T>(endsAt: number, clock: Clock, answer: Promise<T>): Promise<T> {
  if (endsAt === Infinity) return answer
  const late = Promise.withResolvers<never>()
  const timer = clock.after(Math.max(0, endsAt - clock.monotonic()), () =>
    late.reject(new ConnectionError('The broker did not answer in time')),
  )
  try {
    return await Promise.race([answer, late.promise])
  } finally {
    timer.cancel()
  }
}
