/**
 * One measured run in a process of its own: `run-client.ts CLIENT OPERATION URL QUEUE IN-FLIGHT COUNT`. Prints one line of JSON with what
 * it did per second and the CPU each message cost this process.
 */
import { amqplibClient } from './clients/amqplib.ts'
import { cloudamqpClient } from './clients/cloudamqp.ts'
import { omnibusClient } from './clients/omnibus.ts'
import { rabbitmqClient } from './clients/rabbitmq-client.ts'
import { type Client, meter, payloadOf } from './workload.ts'

const clients: Readonly<Record<string, Client>> = {
  omnibus: omnibusClient,
  amqplib: amqplibClient,
  'rabbitmq-client': rabbitmqClient,
  cloudamqp: cloudamqpClient,
}

const [name = '', operation, url = '', queue = '', inFlight = '', count = ''] = process.argv.slice(2)
const client = clients[name]
if (!client) throw new Error(`client: expected one of ${Object.keys(clients).join(', ')}, got "${name}"`)
const { tick, measured } = meter(Number(count))
const payload = payloadOf(Number(queue.split('.').at(-1)))
const job = { url, queue, payload, inFlight: Number(inFlight), count: Number(count), tick }
await (operation === 'publish' ? client.publish(job) : client.consume(job))
process.stdout.write(`${JSON.stringify(measured())}\n`)
process.exit(0)
