/** An SQS to test against: an emulator in this process, which children reach as well, or in one of its own. */
import { type FauxqsServer, startFauxqs } from 'fauxqs'
import { root } from './built.ts'
import { freePort } from './ports.ts'
import { type Running, run } from './process.ts'
import { tempDir } from './run-folder.ts'
import { waitFor } from './wait.ts'

export interface SqsEmulator extends AsyncDisposable {
  readonly url: string
  /** `http://…`, for other clients. */
  readonly endpoint: string
  /** To look behind its back. */
  readonly server: FauxqsServer
}

/** It polls shortly: the emulator goes on giving messages to a long poll whose asker has gone. */
const urlAt = (port: number): string => `sqs://key:secret@127.0.0.1:${port}/?wait_time_seconds=0&polling_interval=0.02`

export async function startSqs(): Promise<SqsEmulator> {
  const server = await startFauxqs({ port: 0, logger: false })
  return {
    url: urlAt(server.port),
    endpoint: `http://127.0.0.1:${server.port}`,
    server,
    [Symbol.asyncDispose]: () => server.stop(),
  }
}

export interface SqsProcess extends AsyncDisposable {
  readonly url: string
  /** SIGKILL. */
  kill(): Promise<void>
  /** Ends it in an orderly way. */
  stop(): Promise<void>
  /** Again, on the same port, with all that it had. */
  start(): Promise<void>
}

/** An emulator that keeps what it has on the disk, and can be killed. */
export async function startSqsProcess(): Promise<SqsProcess> {
  const [port, data] = [await freePort(), tempDir('sqs')]
  const options = JSON.stringify({ port, dataDir: data, logger: false })
  const program = `import { startFauxqs } from 'fauxqs'; await startFauxqs(${options})`
  let emulator: Running | undefined
  const start = async (): Promise<void> => {
    emulator = run(process.execPath, ['--input-type=module', '-e', program], { label: 'sqs', cwd: root })
    await waitFor(() => fetch(`http://127.0.0.1:${port}/health`).then(({ ok }) => ok), { what: `SQS to answer on port ${port}` })
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    emulator?.signal(signal)
    await emulator?.exit()
  }
  await start()
  return {
    url: urlAt(port),
    start,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    [Symbol.asyncDispose]: async () => emulator?.[Symbol.asyncDispose](),
  }
}
