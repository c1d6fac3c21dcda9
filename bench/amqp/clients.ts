import { connect } from 'omnibus'
import type { RabbitServer } from '../../test/support/rabbitmq.ts'
import { fileOf, runJson, startFakeBroker } from './children.ts'
import { type BenchOptions, cpuOf, printTable, PYTHON, rateOf, thousands } from './report.ts'
import type { Measured } from './workload.ts'

const CLIENTS = ['omnibus', 'amqplib', 'cloudamqp', 'rabbitmq-client', 'pika', 'kombu'] as const
type ClientName = (typeof CLIENTS)[number]

const CASES = [
  { operation: 'consume', bytes: 256, inFlight: 100 },
  { operation: 'consume', bytes: 256, inFlight: 1_000 },
  { operation: 'consume', bytes: 16_384, inFlight: 100 },
  { operation: 'consume', bytes: 16_384, inFlight: 1_000 },
  { operation: 'publish', bytes: 256, inFlight: 1_000 },
  { operation: 'publish', bytes: 16_384, inFlight: 1_000 },
] as const
type Case = (typeof CASES)[number]

/** Each client against a broker that costs nothing, and against RabbitMQ. */
export async function benchClients(rabbit: RabbitServer, options: BenchOptions): Promise<void> {
  using fake = await startFakeBroker()
  for (const [broker, url] of [
    ['the client alone', fake.url],
    ['RabbitMQ', rabbit.url],
  ] as const) {
    if (!broker.includes(options.only)) continue
    const measured = new Map<string, Measured[]>()
    for (let round = 1; round <= options.rounds; round++) {
      for (const one of CASES) {
        for (const client of CLIENTS) {
          const result = await run(client, one, url, broker === 'RabbitMQ', options.scale)
          const key = keyOf(client, one)
          measured.set(key, [...(measured.get(key) ?? []), result])
        }
      }
    }
    report(broker, measured)
  }
}

async function run(client: ClientName, one: Case, url: string, real: boolean, scale: number): Promise<Measured> {
  const { operation, bytes, inFlight } = one
  // The first fifth, which is not measured, takes in the first window.
  const count = Math.max(5 * inFlight, Math.ceil(countOf(client, one, real) * scale))
  const queue = `bench.${client}.${bytes}`
  if (real && operation === 'consume')
    await runJson(process.execPath, [fileOf('run-client.ts'), 'omnibus', 'publish', url, queue, '1000', String(count)])
  const python = client === 'kombu' || client === 'pika'
  const [command, program] = python ? [PYTHON, 'clients/python.py'] : [process.execPath, 'run-client.ts']
  const result = (await runJson(command, [fileOf(program), client, operation, url, queue, String(inFlight), String(count)])) as Measured
  if (real) {
    await using connection = connect(url)
    await connection.delete(queue)
  }
  return result
}

/** Enough for about a second or more each. */
function countOf(client: ClientName, { operation, bytes }: Case, real: boolean): number {
  // It waits for each confirm before the next publish.
  if (client === 'kombu' && operation === 'publish') return real ? 3_000 : 10_000
  const python = client === 'kombu' || client === 'pika'
  if (real) return python ? (bytes > 256 ? 4_000 : 20_000) : bytes > 256 ? 10_000 : 60_000
  return python ? (bytes > 256 ? 8_000 : 30_000) : bytes > 256 ? 40_000 : 300_000
}

function keyOf(client: ClientName, { operation, bytes, inFlight }: Case): string {
  return `${client} ${operation} ${bytes} ${inFlight}`
}

function report(broker: string, measured: ReadonlyMap<string, readonly Measured[]>): void {
  const title = ({ operation, bytes, inFlight }: Case): string => `${operation} ${bytes === 256 ? '256 B' : '16 KiB'}, ${inFlight}`
  const rows = CLIENTS.map((client) => [
    client,
    ...CASES.map((one) => {
      const results = measured.get(keyOf(client, one)) ?? []
      const share = cpuOf(results) / cpuOf(measured.get(keyOf('amqplib', one)) ?? [])
      return `${cpuOf(results).toFixed(1)} µs (${share.toFixed(2)} ×), ${thousands(rateOf(results))} k/s`
    }),
  ])
  printTable(`Clients: CPU per message (× amqplib), messages/s; ${broker}`, ['client', ...CASES.map(title)], rows)
}
