/** What tests of messages by HTTP stand on: a target that answers as it is told, and a forwarder in this process on a real broker. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { connect as connectTo, type Connection, createBus, type Queue } from '../../src/index.ts'
import { onTestFinished } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { ForwardConfig } from '../../src/config/forward.ts'
import type { Log } from '../../src/worker/log.ts'
import { createForwarder, type Forwarder } from '../../src/worker/forward/forwarder.ts'
import { freePort } from '../support/ports.ts'
import { waitFor } from '../support/wait.ts'

export interface Received {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Target {
  readonly url: string
  readonly port: number
  readonly received: Received[]
  /** Answers open now. */
  readonly open: number
  /** Those open at a time, at most so far. */
  readonly most: number
  /** How the next requests are answered; undefined: not at all. */
  answer: (received: Received) => Answer | undefined | Promise<Answer | undefined>
  listen(): Promise<void>
  /** Accepts no more, and cuts off what is under way. */
  close(): Promise<void>
}

export interface Answer {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body?: string
}

export async function startTarget(options: { listening?: boolean } = {}): Promise<Target> {
  const port = await freePort()
  let open = 0
  let most = 0
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    most = Math.max(most, ++open)
    response.once('close', () => open--)
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const { method = '', url = '', headers } = request
    const received = { method, url, headers, body: Buffer.concat(parts).toString() }
    target.received.push(received)
    const answer = await target.answer(received)
    if (answer) response.writeHead(answer.status, answer.headers).end(answer.body)
  }
  const onRequest: RequestListener = (request, response) => void serve(request, response)
  let server = createServer(onRequest)
  const target: Target = {
    url: `http://127.0.0.1:${port}/events`,
    port,
    received: [],
    get open() {
      return open
    },
    get most() {
      return most
    },
    answer: () => ({ status: 204 }),
    listen: () => new Promise((resolve) => void server.listen(port, '127.0.0.1', resolve)),
    close: () =>
      new Promise((resolve) => {
        const closing = server
        server = createServer(onRequest)
        closing.close(() => resolve())
        closing.closeAllConnections()
      }),
  }
  if (options.listening ?? true) await target.listen()
  onTestFinished(() => target.close())
  return target
}

export interface Forwarding {
  readonly forwarder: Forwarder
  readonly connection: Connection
  readonly queue: Queue
  readonly logs: readonly string[]
  /** Ready messages of the queue, or of another of that name. */
  readonly waiting: (name?: string) => Promise<number>
  readonly stop: (deadlineMs?: number) => Promise<number>
}

/** Stopped with the test. */
export async function forwarding(url: string, given: ForwardConfig, holdMs?: number): Promise<Forwarding> {
  const { forward } = resolveConfig({ forward: { it: given } }, { root: '/' })
  const settings = forward['it']!
  const logs: string[] = []
  const log = { write: (_level: string, message: string) => logs.push(message) } as unknown as Log
  const bus = createBus({ url, onEvent: () => undefined })
  const connection = connectTo(url)
  const forwarder = createForwarder({ settings, bus, log, ...(holdMs !== undefined && { holdMs }) })
  await connection.declare(settings.queue)
  const run = forwarder.run()
  let stopped: Promise<number> | undefined
  const stop = (deadlineMs = 5_000): Promise<number> => (stopped ??= forwarder.stop(deadlineMs))
  onTestFinished(async () => {
    await stop(0)
    await run
    await bus.close({ deadlineMs: 1_000 })
    await connection.close({ deadlineMs: 1_000 })
  })
  const waiting = async (name = settings.queue.name): Promise<number> => (await connection.inspect(name)).messages
  return { forwarder, connection, queue: settings.queue, logs, waiting, stop }
}

export const until = (what: string, condition: () => boolean | Promise<boolean>): Promise<unknown> => waitFor(condition, { what })
