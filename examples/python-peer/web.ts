/** `POST /greetings` with `{ "text": … }` publishes an event, which the Flask app consumes. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import { createBus, ValidationError } from 'omnibus'
import { GreetingSent, greetings } from './contracts.ts'

const bus = createBus({ source: 'node-web', declares: [greetings] })

export default async function app(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const answer = (status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
  }
  if (request.method !== 'POST' || request.url !== '/greetings') return answer(404, { error: 'POST { "text": ... } to /greetings' })
  try {
    const greeting = (await json(request)) as { text: string }
    answer(202, await bus.publish(GreetingSent, greeting))
  } catch (error) {
    const theirs = error instanceof ValidationError || error instanceof SyntaxError
    answer(theirs ? 400 : 503, { error: error instanceof Error ? error.message : String(error) })
  }
}
