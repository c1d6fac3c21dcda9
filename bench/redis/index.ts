/** Ours, BullMQ and Kombu on one Redis: 256 B of JSON, published, consumed and acked, and their latency. */
import { execFileSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileOf as amqpFile, runJson } from '../amqp/children.ts'
import { type BenchOptions, cpuOf, median, printTable, PYTHON, rateOf, thousands, versionOf } from '../amqp/report.ts'
import type { Latency } from '../amqp/steady.ts'
import type { Measured } from '../amqp/workload.ts'
import { type RedisServer, startRedis } from '../../test/support/redis.ts'

const IN_FLIGHT = 1_000
const LATENCY = { perSecond: 500, seconds: 10 }
/** What a careful user sets; each write is there before it is answered, and on the disk within a second. */
const SETTINGS = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec']

type Operation = 'publish' | 'consume'

interface Contestant {
  readonly name: string
  /** Enough for a second or more. */
  readonly counts: Readonly<Record<Operation, number>>
  /** How its program is called. */
  readonly command: (operation: string, url: string, queue: string, ...numbers: readonly number[]) => readonly [string, ...string[]]
  readonly fills?: string
  readonly latency: boolean
}

const node = (file: string, ...args: readonly (string | number)[]): readonly [string, ...string[]] => [
  process.execPath,
  file,
  ...args.map(String),
]
const bullmq = join(import.meta.dirname, 'run-bullmq.ts')

const ours: Contestant = {
  name: 'omnibus',
  counts: { publish: 200_000, consume: 200_000 },
  command: (operation, url, queue, ...numbers) =>
    operation === 'latency'
      ? node(amqpFile('run-latency.ts'), url, queue, ...numbers)
      : node(amqpFile('run-client.ts'), 'omnibus', operation, url, queue, ...numbers),
  latency: true,
}

const contestants: readonly Contestant[] = [
  ours,
  {
    name: 'BullMQ, add',
    counts: { publish: 30_000, consume: 30_000 },
    command: (operation, url, queue, ...numbers) => node(bullmq, operation, url, queue, ...numbers),
    fills: 'publish-bulk',
    latency: true,
  },
  {
    name: 'BullMQ, addBulk',
    counts: { publish: 60_000, consume: 0 },
    command: (operation, url, queue, ...numbers) => node(bullmq, `${operation}-bulk`, url, queue, ...numbers),
    latency: false,
  },
  {
    name: 'Kombu',
    counts: { publish: 10_000, consume: 6_000 },
    command: (operation, url, queue, ...numbers) => [
      PYTHON,
      amqpFile('clients/python.py'),
      'kombu',
      operation,
      url,
      queue,
      ...numbers.map(String),
    ],
    latency: false,
  },
]

export async function benchRedis({ rounds, scale }: BenchOptions): Promise<void> {
  await using server = await startRedis(SETTINGS)
  process.stdout.write(`${await machine(server)}\n`)
  const measured = new Map<string, Measured[]>()
  const latencies = new Map<string, Latency[]>()
  for (let round = 1; round <= rounds; round++) {
    for (const contestant of contestants) {
      for (const operation of ['publish', 'consume'] as const) {
        const result = await measure(server, contestant, operation, scale)
        if (result) add(measured, `${contestant.name} ${operation}`, result)
      }
    }
    for (const { name, command, latency } of contestants.filter((each) => each.latency)) {
      await server.command('FLUSHALL')
      if (latency) add(latencies, name, await run(command('latency', server.url, 'latency', LATENCY.perSecond, LATENCY.seconds)))
    }
  }
  const cell = (name: string, operation: Operation): string => {
    const results = measured.get(`${name} ${operation}`)
    if (!results) return '–'
    const ratio = rateOf(measured.get(`${ours.name} ${operation}`) ?? []) / rateOf(results)
    return `${thousands(rateOf(results))} k/s${name === ours.name ? '' : ` (1/${ratio.toFixed(1)})`}, ${cpuOf(results).toFixed(1)} µs`
  }
  const percentile = (name: string, which: keyof Latency): string =>
    latencies.has(name) ? `${median(latencies.get(name)!.map((each) => each[which])).toFixed(1)} ms` : '–'
  printTable(
    `Redis: messages/s and CPU per message of the client, 256 B, ${IN_FLIGHT} in flight`,
    ['client', 'publish', 'consume and ack', `latency at ${LATENCY.perSecond}/s: p50`, 'p99'],
    contestants.map(({ name }) => [
      name,
      cell(name, 'publish'),
      cell(name, 'consume'),
      percentile(name, 'p50Ms'),
      percentile(name, 'p99Ms'),
    ]),
  )
}

async function measure(
  server: RedisServer,
  { counts, command, fills }: Contestant,
  operation: Operation,
  scale: number,
): Promise<Measured | undefined> {
  if (counts[operation] === 0) return undefined
  const count = Math.max(5 * IN_FLIGHT, Math.ceil(counts[operation] * scale))
  await server.command('FLUSHALL')
  const queue = 'bench.256'
  // Kombu consumes what we publish: the bytes are the same.
  const filler =
    fills === undefined ? ours.command('publish', server.url, queue, IN_FLIGHT, count) : command(fills, server.url, queue, IN_FLIGHT, count)
  if (operation === 'consume') await run(filler)
  return run(command(operation, server.url, queue, IN_FLIGHT, count))
}

async function run<Result>([program, ...args]: readonly [string, ...string[]]): Promise<Result> {
  return (await runJson(program, args)) as Result
}

function add<T>(to: Map<string, T[]>, name: string, result: T): void {
  to.set(name, [...(to.get(name) ?? []), result])
}

async function machine(server: RedisServer): Promise<string> {
  const version = /redis_version:(\S+)/.exec(String(await server.command('INFO', 'server')))?.[1]
  const python = execFileSync(PYTHON, ['-c', 'import kombu, redis; print(f"Kombu {kombu.__version__}, redis-py {redis.__version__}")'], {
    encoding: 'utf8',
  }).trim()
  const peers = ['redis', 'bullmq'].map((name) => `${name} ${versionOf(name)}`).join(', ')
  return `Node ${process.versions.node}, Redis ${version}, ${peers}, ${python}; ${cpus().length} cores (${cpus()[0]?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB.`
}
