import type { Clock, Timer } from '../../src/core/clock.ts'

/** Time that passes only when told to. */
export class FakeClock implements Clock {
  #now = 1_000
  #timers: { at: number; callback: () => void }[] = []

  monotonic(): number {
    return this.#now
  }

  wall(): number {
    return 1_700_000_000_000 + this.#now
  }

  after(ms: number, callback: () => void): Timer {
    const entry = { at: this.#now + ms, callback }
    this.#timers.push(entry)
    return { cancel: () => void (this.#timers = this.#timers.filter((timer) => timer !== entry)) }
  }

  /** Fires what is due on the way, in order, and lets promises settle after each. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms
    await settle()
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (!next) break
      this.#timers = this.#timers.filter((timer) => timer !== next)
      this.#now = Math.max(this.#now, next.at)
      next.callback()
      await settle()
    }
    this.#now = end
    await settle()
  }
}

/** Lets everything that is already resolved run its course. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}
