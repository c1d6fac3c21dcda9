/**
 * `run-latency.ts URL QUEUE RATE SECONDS`: publishes at a steady rate and consumes, in one process; prints the time from the call of
 * `publish` to the handler, after a second of warming up.
 */
import { connect } from 'omnibus'
import { queueNamed } from './clients/omnibus.ts'

const [url = '', name = '', rate = '', seconds = ''] = process.argv.slice(2)
const perSecond = Number(rate)
const total = perSecond * (Number(seconds) + 1)
const queue = queueNamed(name)
const text = 'x'.repeat(200)
const latencies: number[] = []
const { promise: arrived, resolve, reject } = Promise.withResolvers<void>()

await using connection = connect(url)
let seen = 0
await connection.consume(queue, (delivery) => {
  const { sentAt } = delivery.payload as { sentAt: number }
  void delivery.ack()
  if (++seen > perSecond) latencies.push(performance.now() - sentAt)
  if (seen === total) resolve()
})
const begin = performance.now()
let sent = 0
const timer = setInterval(() => {
  const due = Math.min(total, Math.floor(((performance.now() - begin) / 1_000) * perSecond))
  for (; sent < due; sent++) connection.publish(queue, { sentAt: performance.now(), text }).catch(reject)
  if (sent === total) clearInterval(timer)
}, 1)
await arrived

const sorted = Float64Array.from(latencies).sort()
const percentile = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN
process.stdout.write(`${JSON.stringify({ p50Ms: percentile(0.5), p99Ms: percentile(0.99) })}\n`)
