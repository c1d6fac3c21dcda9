/**
 * One measured run in a process of its own: `run-client.ts CLIENT OPERATION URL QUEUE COUNT`. Prints one line of JSON
 * with what it did per second and the CPU each message cost this process.
 */
import { amqplibClient } from './amqplib.ts'
import { omnibusClient } from './omnibus.ts'
import type { Client, Measured } from './workload.ts'

const clients: Readonly<Record<string, Client>> = { omnibus: omnibusClient, amqplib: amqplibClient }

const [name = '', operation, url = '', queue = '', count = '0'] = process.argv.slice(2)
const client = clients[name]
if (!client) throw new Error(`client: expected one of ${Object.keys(clients).join(', ')}, got "${name}"`)
const messages = Number(count)
const cpu = process.cpuUsage()
const begin = performance.now()
if (operation === 'publish') await client.publish(url, queue, messages, 1_000)
else await client.consume(url, queue, messages, 1_000)
const seconds = (performance.now() - begin) / 1_000
const { user, system } = process.cpuUsage(cpu)
const measured: Measured = { perSecond: messages / seconds, cpuMicroseconds: (user + system) / messages }
process.stdout.write(`${JSON.stringify(measured)}\n`)
process.exit(0)
