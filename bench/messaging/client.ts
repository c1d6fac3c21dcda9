/**
 * One measured run in a process of its own: `client.ts CLIENT OPERATION URL QUEUE COUNT`. Prints one line of JSON with
 * what it did per second and the CPU each message cost this process.
 */
import { amqplibClient } from './amqplib.ts'
import { omnibusClient } from './omnibus.ts'

export interface Client {
  /** Publishes `count` persistent messages, at most `window` unconfirmed at a time; resolves when all are confirmed. */
  publish(url: string, queue: string, count: number, window: number): Promise<void>
  /** Consumes, parses and acks `count` messages, then resolves. */
  consume(url: string, queue: string, count: number, prefetch: number): Promise<void>
}

export interface Measured {
  readonly perSecond: number
  readonly cpuMicroseconds: number
}

/** 256 bytes of JSON. */
export const payload = { id: 'b7e0c3de-5f0a-4a57-9df5-2a4a3a0a9c11', text: 'x'.repeat(198) }

const clients: Readonly<Record<string, Client>> = { omnibus: omnibusClient, amqplib: amqplibClient }

if (import.meta.main) {
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
}
