/** Counts and times each request for statsd. */
import type { RequestListener } from 'node:http'
import { systemClock } from '../../core/clock.ts'
import type { Statsd } from '../../metrics/statsd.ts'

export function requestMetrics(statsd: Statsd): RequestListener {
  return (_request, response) => {
    const began = systemClock.monotonic()
    response.once('close', () => statsd.request(response.headersSent ? response.statusCode : undefined, systemClock.monotonic() - began))
  }
}
