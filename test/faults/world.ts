/** What a scenario runs in: a queue of its own, a folder of ledgers, connections and processes that end with it. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, type Connection, type ConnectionOptions, type Queue, queue } from '../../src/index.ts'
import { run, type Running } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { check, openLedger, type Verdict, type Writer } from './ledger.ts'
import { consume } from './load.ts'

/** `short` is in every test run, `long` in `npm run faults`. */
export type Scale = 'short' | 'long'

/** What one line of the table in docs/reliability.md says of a fault. */
export interface Row {
  /** What was done, with figures. */
  readonly did: string
  readonly verdict?: Verdict
  /** What else was seen. */
  readonly seen: string
}

/** Taking the types off all that a process imports is most of its start: one that ends in order leaves the result to the next. */
const compiled = tempDir('compiled')

export class World implements AsyncDisposable {
  readonly url: string
  readonly folder = tempDir('ledger')
  /** Classic: RabbitMQ 3.10 itself may leave a quorum queue without a leader after a kill. */
  readonly queue: Queue = queue(`faults.${randomUUID()}`, { type: 'classic' })
  readonly #connections: Connection[] = []
  readonly #running: Running[] = []
  readonly #ledgers: Writer[] = []
  #drains = 0

  constructor(url: string) {
    this.url = url
  }

  file(name: string): string {
    return join(this.folder, name)
  }

  ledger(name: string): Writer {
    const ledger = openLedger(this.file(name))
    this.#ledgers.push(ledger)
    return ledger
  }

  connect(options: ConnectionOptions & { url?: string } = {}): Connection {
    const { url = this.url, ...rest } = options
    const connection = connect(url, { deadlineMs: 120_000, heartbeatMs: 2_000, backoff: { minMs: 50, maxMs: 500 }, ...rest })
    this.#connections.push(connection)
    return connection
  }

  /** A program of `fixtures` on this queue, with a ledger of its name. */
  spawn(program: 'consumer' | 'effects' | 'outbox' | 'poisoned' | 'producer', name: string, env: Record<string, string> = {}): Running {
    const file = join(import.meta.dirname, 'fixtures', `${program}.ts`)
    const running = run(process.execPath, [file], {
      label: name,
      env: { URL: this.url, QUEUE: this.queue.name, LEDGER: this.file(name), PRODUCER: name, NODE_COMPILE_CACHE: compiled, ...env },
    })
    this.#running.push(running)
    return running
  }

  /** Lines of a kind in the ledger of another process. */
  written(name: string, event: string): number {
    try {
      return readFileSync(this.file(name), 'utf8').split(`${event} `).length - 1
    } catch {
      return 0
    }
  }

  /** A consumer in this process that takes what is left, and a verdict once nothing is. */
  async drained(idOf?: (body: string) => string): Promise<Verdict> {
    const ledger = this.ledger(`drain-${this.#drains++}`)
    const connection = this.connect({ onEvent: ({ type }) => void (type === 'up' && ledger.write('up')) })
    const consumer = await consume({ connection, queue: this.queue, ledger, prefetch: 100, ...(idOf && { idOf }) })
    await waitFor(() => check(this.folder).lost.length === 0, {
      what: 'every confirmed message to be handled',
      deadlineMs: 60_000,
      everyMs: 250,
    }).catch(() => undefined)
    // Those nobody confirmed may still lie there; handled too, they must be known.
    await waitFor(async () => (await connection.inspect(this.queue)).messages === 0 && consumer.inFlight === 0, { what: 'an empty queue' })
    const verdict = check(this.folder)
    return this.url.startsWith('sqs:') ? { ...verdict, order: [], unordered: true } : verdict
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close({ deadlineMs: 1_000 })))
    await Promise.all(this.#running.map((running) => running[Symbol.asyncDispose]()))
    for (const ledger of this.#ledgers) ledger[Symbol.dispose]()
  }
}
