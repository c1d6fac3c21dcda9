/** Answers `POST /publish`: 202 when the broker has the message, and never before. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { eventsExchange } from '../../bus/event.ts'
import type { ResolvedGateway } from '../../config/gateway.ts'
import { EncodedBody } from '../../core/codecs.ts'
import type { Connection } from '../../core/connection.ts'
import type { Queue } from '../../core/entities.ts'
import { ClosedError, ConnectionError, messageOf, PublishError } from '../../core/errors.ts'
import { admission } from './admission.ts'
import { publicationOf } from './publication.ts'
import { Refusal } from './refusal.ts'

export interface GatewayApp {
  (request: IncomingMessage, response: ServerResponse): void
}

export interface GatewayOptions {
  readonly settings: ResolvedGateway
  readonly connection: Connection
  /** Must be there before anything is published, or would miss it. */
  readonly declares: readonly Queue[]
  readonly onError: (error: unknown) => void
}

/** Whoever asks over HTTP waits no longer; the broker may still take it, so the same id is to be sent again. Milliseconds. */
const PUBLISH_MS = 5_000
const RETRY_AFTER_S = 1

/** What became of a publish, as a status. */
const STATUS: Readonly<Record<PublishError['reason'], number>> = {
  unroutable: 404,
  refused: 422,
  nacked: 503,
  timeout: 503,
  aborted: 503,
  closed: 503,
}

export function gatewayApp({ settings, connection, declares, onError }: GatewayOptions): GatewayApp {
  const admit = admission(settings)
  let underWay = 0
  let declaring: Promise<unknown> | undefined

  /** Once, and again after a failure. */
  const declared = (): Promise<unknown> => {
    declaring ??= connection.declare(eventsExchange, ...declares).catch((error: unknown) => {
      declaring = undefined
      throw error
    })
    return declaring
  }

  const publish = async (request: IncomingMessage): Promise<object> => {
    const query = admit(request)
    const body = await bodyOf(request, settings.maxBodyBytes)
    const { exchange, routingKey, properties, mandatory, ...message } = publicationOf(request.headers, query, body)
    await declared()
    const options = { ...properties, mandatory, deadlineMs: PUBLISH_MS }
    const { routed } = await connection.publish(exchange, routingKey, new EncodedBody(message.body), options)
    return { id: properties.messageId, routed }
  }

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    underWay++
    try {
      if (underWay > settings.maxConcurrent) throw new Refusal(503, `more than ${settings.maxConcurrent} requests are under way`)
      send(response, 202, await publish(request))
    } catch (error) {
      const { status, reason } = meaningOf(error)
      if (status === 500) onError(error)
      send(response, status, { error: reason })
    } finally {
      underWay--
    }
  }
  return (request, response) => void answer(request, response)
}

async function bodyOf(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const tooLarge = new Refusal(413, `expected a body of at most ${maxBytes} bytes`)
  if (Number(request.headers['content-length']) > maxBytes) throw tooLarge
  const parts: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of request) {
      bytes += (chunk as Buffer).byteLength
      if (bytes > maxBytes) throw tooLarge
      parts.push(chunk as Buffer)
    }
  } catch (error) {
    throw error === tooLarge ? error : new Refusal(400, `expected the whole of the body: ${messageOf(error)}`)
  }
  return Buffer.concat(parts)
}

function meaningOf(error: unknown): { readonly status: number; readonly reason: string } {
  const reason = messageOf(error)
  if (error instanceof Refusal) return { status: error.status, reason }
  if (error instanceof PublishError) return { status: STATUS[error.reason], reason }
  if (error instanceof ConnectionError || error instanceof ClosedError) return { status: 503, reason }
  return { status: 500, reason: 'internal error' }
}

function send(response: ServerResponse, status: number, body: object): void {
  // The client left, or its body was cut off.
  if (response.destroyed) return
  const { req: request } = response
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...(status === 401 && { 'www-authenticate': 'Bearer' }),
    ...(status === 405 && { allow: 'POST' }),
    ...(status === 503 && { 'retry-after': String(RETRY_AFTER_S) }),
    // What is left of a body that is not wanted is not read.
    ...(!request.complete && { connection: 'close' }),
  })
  response.end(text)
}
