/** `run-latency.ts URL QUEUE RATE SECONDS`: publishes at a steady rate and consumes, in one process. */
import { connect } from 'omnibus'
import { queueNamed } from './clients/omnibus.ts'
import { type Body, latencyOf } from './steady.ts'

const [url = '', name = '', rate = '', seconds = ''] = process.argv.slice(2)
const queue = queueNamed(name)
await using connection = connect(url)
const latency = await latencyOf({
  perSecond: Number(rate),
  seconds: Number(seconds),
  consume: (arrived) =>
    connection.consume(queue, (delivery) => {
      const body = delivery.payload as Body
      void delivery.ack()
      arrived(body)
    }),
  publish: (body) => connection.publish(queue, body),
})
process.stdout.write(`${JSON.stringify(latency)}\n`)
