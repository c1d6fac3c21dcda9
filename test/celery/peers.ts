/** Celery as a worker and as a caller, each a process of its own: see tasks.py. */
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { run as start, type Running } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'

export interface CeleryOptions {
  readonly broker: string
  readonly queue: string
  /** @default 'rpc://' */
  readonly backend?: string | undefined
  /** Celery's `broker_transport_options`. */
  readonly transport?: Readonly<Record<string, unknown>> | undefined
  readonly protocol?: 1 | 2
}

/** What a call in Python came to: `result` is what `get()` returned, `error` the class it raised. */
export interface Outcome {
  readonly result?: {
    readonly value: unknown
    readonly id: string
    readonly traceback?: string | null
    readonly children?: readonly unknown[]
  }
  readonly error?: string
  readonly module?: string
  readonly args?: readonly string[]
}

/** One task, or several as Celery's canvas has them. */
export type Canvas = { readonly link?: readonly Canvas[]; readonly link_error?: readonly Canvas[] } & (
  | {
      readonly task: string
      readonly args?: readonly unknown[]
      readonly kwargs?: Readonly<Record<string, unknown>>
      readonly options?: Readonly<Record<string, unknown>>
      readonly immutable?: boolean
    }
  | { readonly chain: readonly Canvas[] }
  | { readonly group: readonly Canvas[] }
  | { readonly chord: readonly [header: readonly Canvas[], body: Canvas] }
)

export interface CallOptions {
  /** Seconds; with 0 nobody waits. @default 20 */
  readonly wait?: number
  /** Those of `apply_async`. */
  readonly options?: Readonly<Record<string, unknown>>
}

export interface CeleryCaller extends AsyncDisposable {
  call(task: string, args?: readonly unknown[], more?: CallOptions & { readonly kwargs?: Record<string, unknown> }): Promise<Outcome>
  run(canvas: Canvas, options?: CallOptions): Promise<Outcome>
}

const environment = ({ broker, queue, backend, transport = {}, protocol = 2 }: CeleryOptions): Record<string, string> => ({
  // Python's clients take the vhost / for an empty path only where one is written.
  BROKER: broker.startsWith('amqp') && !/:\d+\/./.test(broker) ? `${broker.replace(/\/$/, '')}//` : broker,
  QUEUE: queue,
  PROTOCOL: String(protocol),
  TRANSPORT: JSON.stringify(transport),
  PYTHONDONTWRITEBYTECODE: '1',
  ...(backend !== undefined && { BACKEND: backend }),
})

function folder(): string {
  const cwd = tempDir('celery')
  copyFileSync(join(import.meta.dirname, 'tasks.py'), join(cwd, 'tasks.py'))
  return cwd
}

export async function startWorker(options: CeleryOptions): Promise<Running> {
  const quiet = ['--hostname', `${options.queue}@%h`, '--without-gossip', '--without-mingle', '--without-heartbeat', '--loglevel', 'INFO']
  // Not its pool of threads, which at times tells the broker of its acks 10 s late.
  const worker = start('/usr/bin/python3', ['-m', 'celery', '-A', 'tasks', 'worker', '--concurrency', '2', ...quiet], {
    cwd: folder(),
    env: environment(options),
    label: 'celery-worker',
  })
  await worker.line(/ ready\.$/)
  return worker
}

export async function startCaller(options: CeleryOptions): Promise<CeleryCaller> {
  const python = start('/usr/bin/python3', ['tasks.py'], { cwd: folder(), env: environment(options), label: 'celery-caller' })
  const port = (await python.line(/^port /)).slice('port '.length)
  const run = async (canvas: Canvas, options: CallOptions = {}): Promise<Outcome> => {
    const answer = await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body: JSON.stringify({ canvas, ...options }) })
    return (await answer.json()) as Outcome
  }
  return {
    run,
    call: (task, args = [], { kwargs = {}, ...options } = {}) => run({ task, args, kwargs }, options),
    [Symbol.asyncDispose]: () => python[Symbol.asyncDispose](),
  }
}
