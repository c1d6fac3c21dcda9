/** Stands in front of an emulator of SQS and SNS, sees what is asked, and answers instead of it what only the real one would. */
import { once } from 'node:events'
import { type IncomingMessage, type ServerResponse, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** As SQS answers in JSON, or SNS in XML. */
export interface Refusal {
  readonly status: number
  readonly type: string
  readonly message: string
  /** Of so many requests one is refused. @default 1 */
  readonly every?: number
}

export interface Gate extends AsyncDisposable {
  readonly host: string
  /** Actions asked for, in order. */
  readonly asked: string[]
  /** Long polls whose asker waits now. */
  readonly polling: number
  /** From now on, until told `undefined`. */
  refuse(action: string, refusal: Refusal | 'cut' | undefined): void
}

export async function openGate(endpoint: string): Promise<Gate> {
  const refusals = new Map<string, Refusal | 'cut'>()
  const asked: string[] = []
  let polling = 0

  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await buffer(incoming)
    const target = incoming.headers['x-amz-target']
    const action = (target === undefined ? new URLSearchParams(body.toString()).get('Action') : String(target).split('.').at(-1)) ?? ''
    asked.push(action)
    const found = refusals.get(action)
    const times = asked.filter((one) => one === action).length
    const refusal = typeof found === 'object' && times % (found.every ?? 1) !== 0 ? undefined : found
    if (refusal === 'cut') return void incoming.socket.destroy()
    if (refusal && target === undefined) {
      const { status, type, message } = refusal
      response.writeHead(status, { 'content-type': 'text/xml' })
      return void response.end(
        `<ErrorResponse><Error><Type>Sender</Type><Code>${type}</Code><Message>${message}</Message></Error></ErrorResponse>`,
      )
    }
    if (refusal) {
      response.writeHead(refusal.status, { 'content-type': 'application/x-amz-json-1.0' })
      return void response.end(JSON.stringify({ __type: `com.amazonaws.sqs#${refusal.type}`, message: refusal.message }))
    }
    const isPoll = action === 'ReceiveMessage' && body.includes('"WaitTimeSeconds":1')
    if (isPoll) polling++
    const passed = request(new URL(incoming.url!, endpoint), { method: incoming.method, headers: incoming.headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    passed.on('error', () => response.destroy())
    response.once('close', () => {
      if (isPoll) polling--
      passed.destroy()
    })
    passed.end(body)
  }

  const server = createServer((incoming, response) => void handle(incoming, response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    get polling() {
      return polling
    },
    refuse(action, refusal) {
      if (refusal) refusals.set(action, refusal)
      else refusals.delete(action)
    },
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
