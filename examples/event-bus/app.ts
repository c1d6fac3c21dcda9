/** A trivial web app: `POST /messages` hands its JSON body to the consumer threads. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import { connect } from 'omnibus'
import { myapp } from './contracts.ts'

const connection = connect()

export default async function app(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const answer = (status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
  }
  if (request.method !== 'POST' || request.url !== '/messages') return answer(200, { hello: 'POST JSON to /messages', pid: process.pid })
  let message: unknown
  try {
    message = await json(request)
  } catch {
    return answer(400, { error: 'expected a JSON body' })
  }
  try {
    await connection.publish(myapp, message)
    answer(202, { accepted: true })
  } catch (error) {
    answer(503, { error: error instanceof Error ? error.message : String(error) })
  }
}
