/** Ours, Kombu and AWS's own client on one emulator of SQS: 256 B of JSON, published, consumed and acked. */
import { execFileSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileOf as amqpFile, runJson } from '../amqp/children.ts'
import { type BenchOptions, cpuOf, median, printTable, PYTHON, rateOf, thousands, versionOf } from '../amqp/report.ts'
import type { Measured } from '../amqp/workload.ts'
import { type Server, startServer } from './servers.ts'

const IN_FLIGHT = 1_000
const QUEUE = 'bench.256'

type Operation = 'publish' | 'consume'

interface Contestant {
  readonly name: string
  /** Enough for a second or more. */
  readonly counts: Readonly<Record<Operation, number>>
  readonly command: (operation: Operation, host: string, count: number) => readonly string[]
  /** Its SDK speaks the older protocol, and the emulator only the newer. */
  readonly behindFront?: true
}

/** With the CPU that each message cost the emulator. */
interface Run extends Measured {
  readonly emulator: number
  readonly front: number
}

const url = (host: string): string => `sqs://key:secret@${host}/?wait_time_seconds=0&polling_interval=0.01`
const numbers = (count: number): readonly string[] => [String(IN_FLIGHT), String(count)]
/** Debian's boto3 would ask for a whole long poll where nothing is there. */
const KOMBU_OPTIONS = { region: 'us-east-1', is_secure: false, wait_time_seconds: 1 }

const ours: Contestant = {
  name: 'omnibus',
  counts: { publish: 30_000, consume: 30_000 },
  command: (operation, host, count) => [
    process.execPath,
    amqpFile('run-client.ts'),
    'omnibus',
    operation,
    url(host),
    QUEUE,
    ...numbers(count),
  ],
}

const sdk: Contestant = {
  name: "AWS's SDK alone",
  counts: { publish: 30_000, consume: 30_000 },
  command: (operation, host, count) => [
    process.execPath,
    join(import.meta.dirname, 'run-sdk.ts'),
    operation,
    url(host),
    QUEUE,
    ...numbers(count),
  ],
}

const kombu: Contestant = {
  name: 'Kombu',
  counts: { publish: 3_000, consume: 3_000 },
  command: (operation, host, count) => [
    PYTHON,
    amqpFile('clients/python.py'),
    'kombu',
    operation,
    `sqs://key:secret@${host}`,
    QUEUE,
    ...numbers(count),
    JSON.stringify(KOMBU_OPTIONS),
  ],
  behindFront: true,
}

const contestants = [ours, sdk, kombu]

export async function benchSqs({ rounds, scale }: BenchOptions): Promise<void> {
  using emulator = await startServer('emulator')
  using front = await startServer('front', `http://${emulator.host}`)
  process.stdout.write(`${machine()}\n`)
  const measured = new Map<string, Run[]>()
  for (let round = 1; round <= rounds; round++) {
    for (const contestant of contestants) {
      for (const operation of ['publish', 'consume'] as const) {
        const key = `${contestant.name} ${operation}`
        measured.set(key, [...(measured.get(key) ?? []), await measure({ emulator, front }, contestant, operation, scale)])
      }
    }
  }
  const of = (name: string, operation: Operation): Run[] => measured.get(`${name} ${operation}`) ?? []
  const cell = (name: string, operation: Operation): string => {
    const results = of(name, operation)
    const ratio = rateOf(of(ours.name, operation)) / rateOf(results)
    const cost = cpuOf(results) / cpuOf(of(ours.name, operation))
    const beside = name === ours.name ? ['', ''] : [` (1/${ratio.toFixed(1)})`, ` (${cost.toFixed(1)} ×)`]
    return `${thousands(rateOf(results))} k/s${beside[0]}, ${cpuOf(results).toFixed(0)} µs${beside[1]}`
  }
  /** Of a core, while its messages flowed. */
  const load = (name: string, operation: Operation): string => {
    const share = ({ perSecond, emulator: cpu, front: more }: Run, which: 'emulator' | 'front'): number =>
      (perSecond * (which === 'emulator' ? cpu : more)) / 10_000
    const percent = (which: 'emulator' | 'front'): string => `${Math.round(median(of(name, operation).map((run) => share(run, which))))} %`
    return percent('emulator') + (name === kombu.name ? ` and ${percent('front')}` : '')
  }
  printTable(
    `SQS, in an emulator: messages/s and CPU per message of the client, 256 B, ${IN_FLIGHT} in flight; what a core of the emulator did meanwhile`,
    ['client', 'publish', 'emulator', 'consume and ack', 'emulator'],
    contestants.map(({ name }) => [name, cell(name, 'publish'), load(name, 'publish'), cell(name, 'consume'), load(name, 'consume')]),
  )
}

async function measure(
  { emulator, front }: Readonly<Record<'emulator' | 'front', Server>>,
  { counts, command, behindFront }: Contestant,
  operation: Operation,
  scale: number,
): Promise<Run> {
  const count = Math.max(5 * IN_FLIGHT, Math.ceil(counts[operation] * scale))
  await emulator.empty(QUEUE.replaceAll('.', '-'))
  // Kombu consumes what we publish: the bytes are the same.
  if (operation === 'consume') await run((behindFront ? ours : { command }).command('publish', emulator.host, count))
  const before = [await emulator.cpu(), await front.cpu()] as const
  const measured = await run(command(operation, behindFront ? front.host : emulator.host, count))
  const after = [await emulator.cpu(), await front.cpu()] as const
  return { ...measured, emulator: (after[0] - before[0]) / count, front: (after[1] - before[1]) / count }
}

async function run([program = '', ...args]: readonly string[]): Promise<Measured> {
  return (await runJson(program, args)) as Measured
}

function machine(): string {
  const python = execFileSync(PYTHON, ['-c', 'import kombu, boto3; print(f"Kombu {kombu.__version__}, boto3 {boto3.__version__}")'], {
    encoding: 'utf8',
  }).trim()
  const packages = ['fauxqs', '@aws-sdk/client-sqs'].map((name) => `${name} ${versionOf(name)}`).join(', ')
  return `Node ${process.versions.node}, ${packages}, ${python}; ${cpus().length} cores (${cpus()[0]?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB.`
}
