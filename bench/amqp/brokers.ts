import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'omnibus'
import { answersAmqp } from '../../test/support/amqp-probe.ts'
import { freePort } from '../../test/support/ports.ts'
import type { RabbitServer } from '../../test/support/rabbitmq.ts'
import { waitFor } from '../../test/support/wait.ts'
import { fileOf, runJson } from './children.ts'
import { type BenchOptions, median, printTable, rateOf, thousands } from './report.ts'
import type { Measured } from './workload.ts'

interface Broker {
  readonly name: string
  readonly url: string
  readonly pid: number
  readonly type: 'classic' | 'quorum'
}

interface Latency {
  readonly p50Ms: number
  readonly p99Ms: number
}

const COUNT = 60_000
const LATENCY_SECONDS = 10
const QUEUED = 1_000_000

/** Our broker and RabbitMQ with the same client: durable queue, persistent messages of 256 B, confirmed. */
export async function benchBrokers(rabbit: RabbitServer, { rounds, scale }: BenchOptions): Promise<void> {
  await using own = await startOwn()
  const rabbitPid = Number((await rabbit.ctl('eval', 'os:getpid().')).replaceAll(/\D/g, ''))
  const brokers: readonly Broker[] = [
    { name: 'built-in', url: own.url, pid: own.pid, type: 'classic' },
    { name: 'RabbitMQ, classic queue', url: rabbit.url, pid: rabbitPid, type: 'classic' },
    { name: 'RabbitMQ, quorum queue', url: rabbit.url, pid: rabbitPid, type: 'quorum' },
  ]
  const published = new Map<Broker, Measured[]>()
  const consumed = new Map<Broker, Measured[]>()
  const latencies = new Map<Broker, Latency[]>()
  const add = <T>(map: Map<Broker, T[]>, broker: Broker, result: T): unknown => map.set(broker, [...(map.get(broker) ?? []), result])
  const count = String(Math.ceil(COUNT * scale))
  for (let round = 1; round <= rounds; round++) {
    for (const broker of brokers) {
      const { url, type } = broker
      const queue = `${type}.${round}.256`
      const client = (operation: string): Promise<unknown> =>
        runJson(process.execPath, [fileOf('run-client.ts'), 'omnibus', operation, url, queue, '1000', count])
      add(published, broker, (await client('publish')) as Measured)
      add(consumed, broker, (await client('consume')) as Measured)
      const seconds = String(Math.max(1, LATENCY_SECONDS * scale))
      add(latencies, broker, (await runJson(process.execPath, [fileOf('run-latency.ts'), url, queue, '2000', seconds])) as Latency)
      await drop(url, queue)
    }
  }
  const memory = new Map<Broker, string>()
  for (const broker of brokers) memory.set(broker, await memoryWithQueued(broker, Math.ceil(QUEUED * scale)))
  const of = <T>(map: Map<Broker, T[]>, broker: Broker): T[] => map.get(broker) ?? []
  const classic = brokers[1]!
  printTable(
    'Brokers, with the same client: 256 B, persistent, confirmed, durable queue',
    [
      'broker',
      'publish, 1000 in flight',
      'consume, prefetch 1000',
      'latency at 2,000/s: p50',
      'p99',
      `resident with ${Math.ceil(QUEUED * scale)} queued`,
    ],
    brokers.map((broker) => {
      const rate = (map: Map<Broker, Measured[]>): string =>
        `${thousands(rateOf(of(map, broker)))} k/s (${(rateOf(of(map, broker)) / rateOf(of(map, classic))).toFixed(1)} ×)`
      const late = (pick: keyof Latency): string => `${median(of(latencies, broker).map((latency) => latency[pick])).toFixed(1)} ms`
      return [broker.name, rate(published), rate(consumed), late('p50Ms'), late('p99Ms'), memory.get(broker) ?? '']
    }),
  )
}

async function memoryWithQueued({ url, type, pid }: Broker, count: number): Promise<string> {
  const queue = `${type}.memory.256`
  const before = residentMiB(pid)
  await runJson(process.execPath, [fileOf('run-client.ts'), 'omnibus', 'publish', url, queue, '1000', String(count)])
  const after = residentMiB(pid)
  await drop(url, queue)
  return `${after} MiB (${before} before)`
}

function residentMiB(pid: number): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024)
}

async function drop(url: string, queue: string): Promise<void> {
  await using connection = connect(url, { deadlineMs: 120_000 })
  await connection.delete(queue)
}

async function startOwn(): Promise<{ url: string; pid: number } & AsyncDisposable> {
  const folder = mkdtempSync(join(tmpdir(), 'omnibus-bench-'))
  const port = await freePort()
  const child = spawn(process.execPath, ['dist/cli/main.js', 'broker', '--data', folder, '--listen', `127.0.0.1:${port}`], {
    stdio: 'ignore',
  })
  await waitFor(() => answersAmqp(port), { what: 'the built-in broker to answer' })
  return {
    url: `amqp://guest:guest@127.0.0.1:${port}`,
    pid: child.pid!,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
