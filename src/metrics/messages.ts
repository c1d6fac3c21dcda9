/** What consumers and forwarders tell of their messages, as counters and gauges. */

/** Of one process, as its status tells. */
export interface MessageReport {
  readonly label: string
  readonly unit: string
  readonly pid?: number
  readonly inFlight?: number
  readonly lag?: number
  readonly handled?: number
  readonly retried?: number
  readonly deadLettered?: number
}

export interface MessageSink {
  increment(name: string, count: number): void
  gauge(name: string, value: number): void
}

export interface MessageMetrics {
  /** Sends what has changed since the last time. */
  tell(reports: readonly MessageReport[]): void
  /** Sends the gauges once more, since packets get lost. */
  repeat(): void
}

const COUNTERS = { handled: 'handled', retried: 'retried', deadLettered: 'dead_lettered' } as const

export function messageMetrics(sink: MessageSink): MessageMetrics {
  const gauges = new Map<string, number>()
  /** By process, each of which counts from 0. */
  let last = new Map<string, MessageReport>()

  const count = (report: MessageReport, before: MessageReport | undefined): void => {
    for (const [counter, name] of Object.entries(COUNTERS) as [keyof typeof COUNTERS, string][]) {
      const more = (report[counter] ?? 0) - (before?.[counter] ?? 0)
      if (more > 0) sink.increment(`messages.${report.unit}.${name}`, more)
    }
  }
  const gauge = (name: string, value: number): void => {
    if (gauges.get(name) === value) return
    gauges.set(name, value)
    sink.gauge(name, value)
  }

  return {
    tell(reports) {
      const working = reports.filter(({ handled }) => handled !== undefined)
      const now = new Map(working.map((report) => [`${report.label} ${report.pid}`, report]))
      for (const [key, report] of now) count(report, last.get(key))
      last = now
      for (const [unit, ofUnit = []] of Object.entries(Object.groupBy(working, (report) => report.unit))) {
        gauge(
          `messages.${unit}.in_flight`,
          ofUnit.reduce((sum, { inFlight = 0 }) => sum + inFlight, 0),
        )
        const lags = ofUnit.flatMap(({ lag }) => lag ?? [])
        // They share their queues, so what waits is what any of them sees.
        if (lags.length > 0) gauge(`messages.${unit}.waiting`, Math.max(...lags))
      }
    },
    repeat() {
      for (const [name, value] of gauges) sink.gauge(name, value)
    },
  }
}
