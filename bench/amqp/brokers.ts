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
import type { Latency } from './steady.ts'
import type { Measured } from './workload.ts'

interface Broker {
  readonly name: string
  readonly url: string
  readonly pid: number
  readonly type: 'classic' | 'quorum'
}

/** Each can be had alone: `npm run bench -- broker-latency`. */
export const BROKER_MEASURES = ['broker-throughput', 'broker-latency', 'broker-memory'] as const
export type BrokerMeasure = (typeof BROKER_MEASURES)[number]

const COUNT = 60_000
const LATENCY_SECONDS = 10
const QUEUED = 1_000_000

/** Our broker and RabbitMQ with the same client: durable queue, persistent messages of 256 B, confirmed. */
export async function benchBrokers(
  rabbit: RabbitServer,
  measures: readonly BrokerMeasure[],
  { rounds, scale }: BenchOptions,
): Promise<void> {
  await using own = await startOwn()
  const rabbitPid = Number((await rabbit.ctl('eval', 'os:getpid().')).replaceAll(/\D/g, ''))
  const brokers: readonly Broker[] = [
    { name: 'built-in', url: own.url, pid: own.pid, type: 'classic' },
    { name: 'RabbitMQ, classic queue', url: rabbit.url, pid: rabbitPid, type: 'classic' },
    { name: 'RabbitMQ, quorum queue', url: rabbit.url, pid: rabbitPid, type: 'quorum' },
  ]
  const columns: Columns = new Map()
  if (measures.includes('broker-throughput')) await throughput(brokers, columns, rounds, Math.ceil(COUNT * scale))
  if (measures.includes('broker-latency')) await latency(brokers, columns, rounds, Math.max(1, LATENCY_SECONDS * scale))
  if (measures.includes('broker-memory')) await memory(brokers, columns, Math.ceil(QUEUED * scale))
  printTable(
    'Brokers, with the same client: 256 B, persistent, confirmed, durable queue',
    ['broker', ...columns.keys()],
    brokers.map(({ name }, n) => [name, ...[...columns.values()].map((cells) => cells[n] ?? '')]),
  )
}

/** By their heads, a cell for each broker. */
type Columns = Map<string, readonly string[]>

/** Resolves with what each round brought, by broker; the brokers take turns. */
async function inTurn<T>(
  brokers: readonly Broker[],
  rounds: number,
  measure: (broker: Broker, round: number) => Promise<T>,
): Promise<T[][]> {
  const results: T[][] = brokers.map(() => [])
  for (let round = 1; round <= rounds; round++) {
    for (const [n, broker] of brokers.entries()) results[n]?.push(await measure(broker, round))
  }
  return results
}

async function throughput(brokers: readonly Broker[], columns: Columns, rounds: number, count: number): Promise<void> {
  const results = await inTurn(brokers, rounds, async ({ url, type }, round) => {
    const queue = `${type}.${round}.256`
    const published = await client('publish', url, queue, count)
    const consumed = await client('consume', url, queue, count)
    await drop(url, queue)
    return { published, consumed }
  })
  const column = (of: (result: (typeof results)[number][number]) => Measured): string[] => {
    const rates = results.map((rounds) => rateOf(rounds.map(of)))
    return rates.map((rate) => `${thousands(rate)} k/s (${(rate / rates[1]!).toFixed(1)} ×)`)
  }
  columns.set(
    'publish, 1000 in flight',
    column(({ published }) => published),
  )
  columns.set(
    'consume, prefetch 1000',
    column(({ consumed }) => consumed),
  )
}

async function latency(brokers: readonly Broker[], columns: Columns, rounds: number, seconds: number): Promise<void> {
  const results = await inTurn(brokers, rounds, async ({ url, type }, round) => {
    const queue = `${type}.latency.${round}`
    const found = (await runJson(process.execPath, [fileOf('run-latency.ts'), url, queue, '2000', String(seconds)])) as Latency
    await drop(url, queue)
    return found
  })
  const column = (pick: keyof Latency): string[] => results.map((rounds) => `${median(rounds.map((found) => found[pick])).toFixed(1)} ms`)
  columns.set('latency at 2,000/s: p50', column('p50Ms'))
  columns.set('p99', column('p99Ms'))
}

/** Resident before, once all is queued, and at its height while all of it is consumed. */
async function memory(brokers: readonly Broker[], columns: Columns, count: number): Promise<void> {
  const results = await inTurn(brokers, 1, async ({ url, type, pid }) => {
    const queue = `${type}.memory.256`
    const before = residentMiB(pid)
    await client('publish', url, queue, count)
    const after = residentMiB(pid)
    let height = after
    const watch = setInterval(() => (height = Math.max(height, residentMiB(pid))), 100)
    await client('consume', url, queue, count).finally(() => clearInterval(watch))
    await drop(url, queue)
    return { queued: `${after} MiB (${before} before)`, height: `${height} MiB` }
  })
  columns.set(
    `resident with ${count} queued`,
    results.map(([found]) => found?.queued ?? ''),
  )
  columns.set(
    'while they drain',
    results.map(([found]) => found?.height ?? ''),
  )
}

async function client(operation: 'publish' | 'consume', url: string, queue: string, count: number): Promise<Measured> {
  const args = [fileOf('run-client.ts'), 'omnibus', operation, url, queue, '1000', String(count)]
  return (await runJson(process.execPath, args)) as Measured
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
