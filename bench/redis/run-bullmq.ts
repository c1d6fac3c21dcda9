/**
 * BullMQ in a process of its own: `run-bullmq.ts publish|publish-bulk|consume URL QUEUE IN-FLIGHT COUNT`, as run-client.ts, or
 * `run-bullmq.ts latency URL QUEUE RATE SECONDS`, as run-latency.ts.
 */
import { Queue, Worker } from 'bullmq'
import { type Body, latencyOf } from '../amqp/steady.ts'
import { check, type Measured, meter, payloadOf } from '../amqp/workload.ts'

/** Jobs that are added by one call. */
const BULK = 500

const [operation = '', url = '', name = '', first = '', second = ''] = process.argv.slice(2)
const [inFlight, count] = [Number(first), Number(second)]
const { hostname, port } = new URL(url)
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null }
const payload = payloadOf(256)
const { tick, measured } = meter(count)

const operations: Readonly<Record<string, () => Promise<unknown>>> = {
  async publish() {
    const queue = new Queue(name, { connection })
    let left = count
    const lane = async (): Promise<void> => {
      while (left-- > 0) {
        await queue.add('message', payload)
        tick()
      }
    }
    await Promise.all(Array.from({ length: inFlight }, lane))
    return measured()
  },
  async 'publish-bulk'() {
    const queue = new Queue(name, { connection })
    let left = count
    const lane = async (): Promise<void> => {
      while (left > 0) {
        const jobs = Array.from({ length: Math.min(BULK, left) }, () => ({ name: 'message', data: payload }))
        left -= jobs.length
        await queue.addBulk(jobs)
        for (const _ of jobs) tick()
      }
    }
    await Promise.all(Array.from({ length: Math.ceil(inFlight / BULK) }, lane))
    return measured()
  },
  async consume(): Promise<Measured> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const handle = async ({ data }: { data: unknown }): Promise<void> => {
      check(data, payload)
      if (tick()) resolve()
    }
    new Worker(name, handle, { connection, concurrency: inFlight, removeOnComplete: { count: 0 } }).on('error', reject)
    await promise
    return measured()
  },
  async latency() {
    const queue = new Queue<Body>(name, { connection })
    const consume = async (arrived: (body: Body) => void): Promise<void> => {
      const handle = async ({ data }: { data: Body }): Promise<void> => arrived(data)
      await new Worker<Body>(name, handle, { connection, concurrency: 100, removeOnComplete: { count: 0 } }).waitUntilReady()
    }
    return latencyOf({ perSecond: inFlight, seconds: count, consume, publish: (body) => queue.add('message', body) })
  },
}

const run = operations[operation]
if (!run) throw new Error(`operation: expected one of ${Object.keys(operations).join(', ')}, got "${operation}"`)
process.stdout.write(`${JSON.stringify(await run())}\n`)
process.exit(0)
