/** The only source of time in core: a test, or the broker's engine in one, puts its own in its place. */
export interface Clock {
  /** Milliseconds that never go backwards; for durations and deadlines. */
  monotonic(): number
  /** Milliseconds since 1970; for what is written into messages. */
  wall(): number
  /** Calls back once after `ms`. The timer does not keep the process alive when `unref` is set. */
  after(ms: number, callback: () => void, options?: { unref?: boolean }): Timer
}

export interface Timer {
  /** May be called twice, and after it fired. */
  cancel(): void
}

export const systemClock: Clock = Object.freeze({
  monotonic: () => performance.now(),
  wall: () => Date.now(),
  after(ms: number, callback: () => void, options?: { unref?: boolean }): Timer {
    // setTimeout fires at once above 2^31-1 ms, so a longer wait is cut to the longest there is.
    const timer = setTimeout(callback, Math.min(ms, 0x7fff_ffff))
    if (options?.unref) timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
})

/** Resolves after `ms`, or rejects with the signal's reason as soon as it aborts. */
export function sleep(ms: number, options: { clock?: Clock; signal?: AbortSignal; unref?: boolean } = {}): Promise<void> {
  const { clock = systemClock, signal, unref = false } = options
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = (): void => {
      timer.cancel()
      reject(signal?.reason)
    }
    const timer = clock.after(
      ms,
      () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      },
      { unref },
    )
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
