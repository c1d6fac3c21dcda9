/** One HTTP request and its answer, within bounds. */
import { type Agent, type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { LookupFunction, Socket } from 'node:net'
import { systemClock } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'

export interface Call {
  readonly url: URL
  readonly method: 'GET' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** Of its scheme. */
  readonly agent: Agent
  readonly lookup: LookupFunction
  /** For the whole answer. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

interface Head {
  readonly status: number
  readonly retryAfter: string | undefined
}

export type Exchanged =
  | (Head & { readonly text: string })
  /** `sent`: the target may have read it. `stale`: it was to go over a connection that had rested, and that was closed. */
  | { readonly error: string; readonly sent: boolean; readonly stale: boolean }

/** Between machines of one network at its worst. Milliseconds. */
const CONNECT_MS = 5_000
/** Of an answer's body, for the log. Bytes. */
const TOLD_BYTES = 300
/** Answers are not wanted: one that goes on is cut off, with its connection. Bytes. */
const READ_BYTES = 256 * 1024
/** Of a connection that was closed in the moment it was used again, one is told at once. Milliseconds. */
const STALE_MS = 1_000

/** Never rejects. Redirects are answers like any other, and one of no success counts as soon as its head is there. */
export function exchange(call: Call): Promise<Exchanged> {
  const { url, body, timeoutMs, signal, ...options } = call
  const { promise, resolve } = Promise.withResolvers<Exchanged>()
  const beganAt = systemClock.monotonic()
  let connected = false
  let head: Head | undefined
  const request: ClientRequest = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options)
  const give = (error: string, stale = false): void => {
    resolve(head && !isSuccess(head) ? { ...head, text: '' } : { error, sent: connected, stale })
    request.destroy()
  }
  const onError = (error: unknown): void => {
    const wasResting = connected && request.reusedSocket && systemClock.monotonic() - beganAt < STALE_MS
    give(messageOf(error) || String(Reflect.get(Object(error), 'code')), wasResting && !head)
  }
  const onAbort = (): void => give('cut off')
  const timers = [
    setTimeout(() => give(`no complete answer within ${timeoutMs} ms`), timeoutMs),
    setTimeout(() => !connected && give(`no connection within ${CONNECT_MS} ms`), CONNECT_MS),
  ]
  signal.addEventListener('abort', onAbort, { once: true })
  request.on('socket', (socket) => whenConnected(socket, () => (connected = true)))
  request.on('error', onError)
  request.on('response', (response) => {
    const answered = (head = headOf(response))
    read(response).then((text) => resolve({ ...answered, text }), onError)
  })
  // Nobody has asked for it.
  request.on('upgrade', (response) => {
    head = headOf(response)
    give('switches protocols')
  })
  request.end(body)
  return promise.finally(() => {
    for (const timer of timers) clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  })
}

export const isSuccess = ({ status }: Head): boolean => status >= 200 && status < 300

const headOf = ({ statusCode = 0, headers }: IncomingMessage): Head => ({ status: statusCode, retryAfter: headers['retry-after'] })

/** With TLS, when the target has proved who it is. */
function whenConnected(socket: Socket, then: () => void): void {
  // Where no network leads there, it has failed before anybody could listen.
  if (socket.destroyed) return
  if (!socket.connecting && !Reflect.get(socket, 'secureConnecting')) return then()
  socket.once('encrypted' in socket ? 'secureConnect' : 'connect', then)
}

/** The beginning of the body, when all of it has come. */
async function read(response: IncomingMessage): Promise<string> {
  let told = Buffer.alloc(0)
  let bytes = 0
  for await (const chunk of response) {
    const part = chunk as Buffer
    bytes += part.byteLength
    if (told.byteLength < TOLD_BYTES) told = Buffer.concat([told, part.subarray(0, TOLD_BYTES - told.byteLength)])
    // Leaving the loop destroys the connection.
    if (bytes > READ_BYTES) break
  }
  return told.toString().trim()
}
