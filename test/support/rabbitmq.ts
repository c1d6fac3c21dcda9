/**
 * A private RabbitMQ for tests and benchmarks: Debian's package with ports, data, cookie and epmd of its own, beside
 * which any other RabbitMQ on the machine goes on undisturbed. Installs the package when that is allowed.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { accepts, answersAmqp } from './amqp-probe.ts'
import { ensurePackages, fileOf, have } from './packages.ts'
import { freePorts } from './ports.ts'
import { killMarked, MARK } from './processes.ts'
import { runName, tempDir } from './run-folder.ts'
import { waitFor } from './wait.ts'

export interface RabbitServer {
  readonly url: string
  readonly port: number
  /** Starts it again after `stop` or `kill`, with the same data and port. */
  start(): Promise<void>
  /** Ends it in an orderly way and keeps its data. */
  stop(): Promise<void>
  /** SIGKILL to the Erlang VM; the data stays. */
  kill(): Promise<void>
  /** Runs rabbitmqctl on this node and resolves with its output. Takes a second or two. */
  ctl(...args: string[]): Promise<string>
  /** Ends it for good and removes its data. */
  [Symbol.asyncDispose](): Promise<void>
}

/** There is a RabbitMQ that a test may start and kill: for `describe.runIf`. */
export const hasOwnRabbit = (): boolean => have('rabbitmq-server')

/** Starts a private RabbitMQ of one's own, to be killed at will. Dispose of it in `afterAll`. */
export async function startRabbit(): Promise<RabbitServer> {
  const { why } = await ensurePackages(['rabbitmq-server'])
  if (!have('rabbitmq-server')) throw new Error(`no RabbitMQ to start: ${why}`)
  const [port, distPort, epmdPort] = (await freePorts(3)) as [number, number, number]
  const folder = tempDir('rabbitmq')
  const mark = `${runName()}/${randomUUID()}`
  const env = environment({ folder, port, distPort, epmdPort, mark })
  const remove = (): void => {
    killMarked(mark)
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  // Also when the test run ends without disposing of it.
  process.once('exit', remove)
  const epmd = spawn('epmd', ['-port', String(epmdPort), '-address', '127.0.0.1'], { env, stdio: 'ignore' })
  await waitFor(() => accepts(epmdPort), { what: 'epmd to listen' })

  let server: ChildProcess | undefined
  let exited: Promise<unknown> = Promise.resolve()
  const start = async (): Promise<void> => {
    const child = spawn(fileOf('rabbitmq-server'), [], { env, detached: true, stdio: ['ignore', 'ignore', 'ignore'] })
    server = child
    exited = once(child, 'exit')
    await waitFor(
      async () => {
        if (child.exitCode !== null) throw new Error(`RabbitMQ ended with ${child.exitCode}\n${logOf(folder, port)}`)
        return answersAmqp(port)
      },
      { what: `RabbitMQ to answer on port ${port}`, deadlineMs: 120_000, everyMs: 100 },
    )
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (server?.pid === undefined || server.exitCode !== null || server.signalCode !== null) return
    // The whole group: the shell script waits for the VM, which is its child.
    if (signal === 'SIGKILL') process.kill(-server.pid, signal)
    else process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')), signal)
    await exited
    // Its port must be free, or `start` would take the dying one's answer for the new one's.
    await waitFor(async () => !(await accepts(port)), { what: 'RabbitMQ to be gone' })
  }
  await start()
  return {
    url: `amqp://guest:guest@127.0.0.1:${port}`,
    port,
    start,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    async ctl(...args) {
      const { stdout } = await promisify(execFile)(join(dirname(fileOf('rabbitmq-server')), 'rabbitmqctl'), ['-q', ...args], { env })
      return stdout
    },
    async [Symbol.asyncDispose]() {
      await end('SIGKILL')
      epmd.kill('SIGKILL')
      process.removeListener('exit', remove)
      remove()
    },
  }
}

interface Place {
  folder: string
  port: number
  distPort: number
  epmdPort: number
  mark: string
}

function environment({ folder, port, distPort, epmdPort, mark }: Place): NodeJS.ProcessEnv {
  const inside = (name: string): string => join(folder, name)
  for (const name of ['home', 'data', 'log', 'generated']) mkdirSync(inside(name))
  writeFileSync(inside('plugins'), '[].\n')
  writeFileSync(inside('rabbitmq.conf'), 'disk_free_limit.absolute = 50MB\n')
  return {
    PATH: process.env['PATH'],
    LANG: 'C.UTF-8',
    [MARK]: mark,
    // The Erlang cookie lies in the home folder; a folder of its own keeps this node apart from any other.
    HOME: inside('home'),
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: `omnibus-${port}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_MNESIA_BASE: inside('data'),
    RABBITMQ_LOG_BASE: inside('log'),
    RABBITMQ_PID_FILE: inside('pid'),
    RABBITMQ_ENABLED_PLUGINS_FILE: inside('plugins'),
    RABBITMQ_CONFIG_FILE: inside('rabbitmq.conf'),
    RABBITMQ_GENERATED_CONFIG_DIR: inside('generated'),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
  }
}

function logOf(folder: string, port: number): string {
  try {
    return readFileSync(join(folder, 'log', `omnibus-${port}@localhost.log`), 'utf8').slice(-4000)
  } catch {
    return `(its logs are in ${join(folder, 'log')})`
  }
}
