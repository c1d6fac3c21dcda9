/** An SQS to test against: an emulator in this process, which children reach as well. */
import { type FauxqsServer, startFauxqs } from 'fauxqs'

export interface SqsEmulator extends AsyncDisposable {
  readonly url: string
  /** `http://…`, for other clients. */
  readonly endpoint: string
  /** To look behind its back. */
  readonly server: FauxqsServer
}

/** The URL polls shortly: the emulator goes on giving messages to a long poll whose asker has gone. */
export async function startSqs(): Promise<SqsEmulator> {
  const server = await startFauxqs({ port: 0, logger: false })
  return {
    url: `sqs://key:secret@127.0.0.1:${server.port}/?wait_time_seconds=0&polling_interval=0.02`,
    endpoint: `http://127.0.0.1:${server.port}`,
    server,
    [Symbol.asyncDispose]: () => server.stop(),
  }
}
