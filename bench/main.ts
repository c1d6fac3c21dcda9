/**
 * `npm run bench [ROUNDS] [COUNT]`: clients and brokers side by side in one run, interleaved, medians of the rounds. Trust ratios and CPU per
 * message; absolute rates belong to the machine.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from '../test/support/ports.ts'
import { startRabbit } from '../test/support/rabbitmq.ts'
import type { Measured } from './messaging/workload.ts'

const rounds = Number(process.argv[2] ?? 3)
const count = Number(process.argv[3] ?? 30_000)
const folder = mkdtempSync(join(tmpdir(), 'omnibus-bench-'))
const [port] = (await freePorts(1)) as [number]
const ours = spawn(process.execPath, ['dist/cli/main.js', 'broker', '--data', folder, '--listen', `127.0.0.1:${port}`], { stdio: 'ignore' })
const rabbit = await startRabbit()
const brokers = { 'built-in': `amqp://guest:guest@127.0.0.1:${port}`, RabbitMQ: rabbit.url }
const measured = new Map<string, Measured[]>()

try {
  for (let round = 1; round <= rounds; round++) {
    for (const [broker, url] of Object.entries(brokers)) {
      for (const client of ['omnibus', 'amqplib']) {
        const queue = `bench.${client}.${round}`
        for (const operation of ['publish', 'consume']) {
          const key = `${operation} · ${broker} · ${client}`
          const result = await run(client, operation, url, queue)
          measured.set(key, [...(measured.get(key) ?? []), result])
        }
      }
    }
  }
  for (const operation of ['publish', 'consume']) report(operation)
} finally {
  ours.kill('SIGTERM')
  await rabbit[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
}

async function run(client: string, operation: string, url: string, queue: string): Promise<Measured> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'messaging/run-client.ts'), client, operation, url, queue, String(count)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk))
  const [code] = (await once(child, 'close')) as [number]
  if (code !== 0) throw new Error(`${client} ${operation} on ${queue} ended with code ${code}`)
  return JSON.parse(output) as Measured
}

function report(operation: string): void {
  const rows = [...measured].filter(([key]) => key.startsWith(operation))
  const floor = rows.find(([key]) => key.endsWith('RabbitMQ · amqplib'))![1]
  process.stdout.write(
    `\n${operation}: 256 B JSON, durable, persistent, ${operation === 'publish' ? 'confirmed, 1000 in flight' : 'parsed and acked one by one, prefetch 1000'}\n`,
  )
  for (const [key, results] of rows) {
    const rate = median(results.map((r) => r.perSecond))
    const cpu = median(results.map((r) => r.cpuMicroseconds))
    const times = rate / median(floor.map((r) => r.perSecond))
    const share = cpu / median(floor.map((r) => r.cpuMicroseconds))
    process.stdout.write(
      `  ${key.slice(operation.length + 3).padEnd(22)} ${String(Math.round(rate)).padStart(8)}/s (${times.toFixed(2)} ×)   client CPU ${cpu.toFixed(1).padStart(5)} µs/message (${share.toFixed(2)} ×)\n`,
    )
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}
