/** Serves a Fetch API handler (`Request` to `Response`) over node:http, streaming in both directions. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'

/** The second argument of the handler, under the names Hono's Node adapter uses. */
export interface NodeBindings {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
}

export type FetchHandler = (request: Request, bindings: NodeBindings) => unknown

/** `onError` hears what the handler threw; the client gets a bare 500. */
export function fetchListener(handler: FetchHandler, onError: (error: unknown) => void): RequestListener {
  return (incoming, outgoing) => {
    serve(handler, incoming, outgoing).catch((error: unknown) => {
      // The client went away in the middle: nobody is left to answer, and nothing of ours is wrong.
      if (outgoing.destroyed && !outgoing.writableFinished && isAbort(error)) return
      onError(error)
      if (outgoing.headersSent) outgoing.destroy()
      else outgoing.writeHead(500).end()
    })
  }
}

async function serve(handler: FetchHandler, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const left = new AbortController()
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) left.abort()
  })
  const request = toRequest(incoming, left.signal)
  if (request === undefined) return void outgoing.writeHead(400).end()
  const response = await handler(request, { incoming, outgoing })
  if (!isResponse(response)) throw new TypeError(`fetch(request) must return a Response, got ${String(response)}`)
  await send(response, incoming, outgoing)
}

/** Undefined where the Fetch API has no such request: a malformed target or host, or the methods it forbids. */
function toRequest(incoming: IncomingMessage, signal: AbortSignal): Request | undefined {
  const { method = 'GET', url = '/' } = incoming
  const scheme = Reflect.get(incoming.socket, 'encrypted') === true ? 'https' : 'http'
  const host = incoming.headers.host ?? Reflect.get(incoming.headers, ':authority') ?? 'localhost'
  const headers = new Headers()
  const { rawHeaders } = incoming
  try {
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      const name = rawHeaders[i] ?? ''
      // HTTP/2's pseudo headers are not headers of the Fetch API.
      if (!name.startsWith(':')) headers.append(name, rawHeaders[i + 1] ?? '')
    }
    const target = url.startsWith('/') ? `${scheme}://${String(host)}${url}` : url
    const hasBody = method !== 'GET' && method !== 'HEAD'
    const body = hasBody ? (Readable.toWeb(incoming) as ReadableStream) : null
    return new Request(target, { method, headers, body, signal, ...(hasBody ? { duplex: 'half' } : {}) })
  } catch {
    return undefined
  }
}

async function send(response: Response, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const headers: Record<string, string | string[]> = {}
  for (const [name, value] of response.headers) headers[name] = value
  const cookies = response.headers.getSetCookie()
  if (cookies.length > 0) headers['set-cookie'] = cookies
  if (response.statusText && incoming.httpVersionMajor < 2) outgoing.writeHead(response.status, response.statusText, headers)
  else outgoing.writeHead(response.status, headers)
  const { body } = response
  if (body === null || incoming.method === 'HEAD') {
    await body?.cancel()
    outgoing.end()
    return
  }
  // A stream that is slow to begin (server-sent events) must not hold the headers back.
  outgoing.flushHeaders()
  await pump(body as ReadableStream<Uint8Array>, outgoing)
}

async function pump(body: ReadableStream<Uint8Array>, outgoing: ServerResponse): Promise<void> {
  const reader = body.getReader()
  const cancel = (): void => void reader.cancel().catch(() => {})
  outgoing.once('close', cancel)
  for (;;) {
    const { done, value } = await reader.read()
    if (outgoing.destroyed || outgoing.writableEnded) return cancel()
    if (done) break
    if (!outgoing.write(value)) await writable(outgoing)
  }
  outgoing.off('close', cancel)
  outgoing.end()
}

function writable(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      outgoing.off('drain', done)
      outgoing.off('close', done)
      resolve()
    }
    outgoing.on('drain', done)
    outgoing.on('close', done)
  })
}

function isResponse(value: unknown): value is Response {
  // By its shape: frameworks bring Response classes of their own.
  return typeof value === 'object' && value !== null && 'status' in value && 'headers' in value && 'body' in value
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || Reflect.get(error, 'code') === 'ERR_STREAM_PREMATURE_CLOSE')
}
