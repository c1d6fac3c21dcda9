/** The built-in broker as its own process, with a TCP listener, on a data folder that outlives it. */
import { answersAmqp } from './amqp-probe.ts'
import { omnibus } from './omnibus.ts'
import { freePort } from './ports.ts'
import type { Running } from './process.ts'
import { tempDir } from './run-folder.ts'
import { waitFor } from './wait.ts'

export interface BrokerProcess extends AsyncDisposable {
  readonly tcpUrl: string
  readonly port: number
  /** Its folder. */
  readonly data: string
  /** The process now; another one after `start`. */
  readonly process: Running
  /** Again on the same folder and port, after `stop` or `kill`. */
  start(): Promise<void>
  /** SIGTERM; resolves with its exit code. */
  stop(): Promise<number | null>
  /** SIGKILL. */
  kill(): Promise<void>
}

export async function startBroker(): Promise<BrokerProcess> {
  const port = await freePort()
  const data = tempDir('data')
  const start = async (): Promise<Running> => {
    const started = omnibus(['broker', '--listen', `127.0.0.1:${port}`, '--data', data], { label: 'broker' })
    const ended = (): boolean => !started.processes().includes(started.pid)
    await waitFor(async () => ended() || (await answersAmqp(port)), { what: `the broker to answer on port ${port}` })
    if (ended()) throw new Error(`the broker ended:\n${started.lines.join('\n')}`)
    return started
  }
  let current = await start()
  return {
    tcpUrl: `amqp://guest:guest@127.0.0.1:${port}`,
    port,
    data,
    get process() {
      return current
    },
    async start() {
      current = await start()
    },
    async stop() {
      current.signal('SIGTERM')
      return (await current.exit()).code
    },
    async kill() {
      current.signal('SIGKILL')
      await current.exit()
      // What it started ends with it, and until then may hold the port and the folder.
      await waitFor(() => current.processes().length === 0, { what: "the broker's processes to end" })
    },
    [Symbol.asyncDispose]: () => current[Symbol.asyncDispose](),
  }
}
