/** Latency at a rate that is no load: from the call that publishes to the handler. */
export interface Latency {
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface Steady {
  readonly perSecond: number
  /** After a second of warming up. */
  readonly seconds: number
  /** Begins to consume, calling `arrived` with the body of each message. */
  readonly consume: (arrived: (body: Body) => void) => Promise<unknown>
  readonly publish: (body: Body) => Promise<unknown>
}

/** Of some 256 B as JSON. */
export interface Body {
  readonly sentAt: number
  readonly text: string
}

/** Rejects when a publish does. */
export async function latencyOf({ perSecond, seconds, consume, publish }: Steady): Promise<Latency> {
  const total = perSecond * (seconds + 1)
  const text = 'x'.repeat(200)
  const latencies: number[] = []
  const { promise: arrived, resolve, reject } = Promise.withResolvers<void>()
  let seen = 0
  await consume(({ sentAt }) => {
    if (++seen > perSecond) latencies.push(performance.now() - sentAt)
    if (seen === total) resolve()
  })
  const begin = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    const due = Math.min(total, Math.floor(((performance.now() - begin) / 1_000) * perSecond))
    for (; sent < due; sent++) publish({ sentAt: performance.now(), text }).catch(reject)
    if (sent === total) clearInterval(timer)
  }, 1)
  await arrived
  const sorted = Float64Array.from(latencies).sort()
  const percentile = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN
  return { p50Ms: percentile(0.5), p99Ms: percentile(0.99) }
}
