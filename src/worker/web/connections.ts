/**
 * Follows the connections of the web app's servers, and drains them without losing a request:
 *
 * 1. The listening socket is let go, by net's `close`: http's would cut idle keep-alive connections, on which a client
 *    may be sending right now. Whoever waits in the accept queue is served by the siblings that share the socket.
 * 2. Every answer from now on says `Connection: close`, so that clients leave by themselves; of pipelined requests only the
 *    last, since nothing is sent after it.
 * 3. A connection that stays quiet is closed: after 300 ms if it had a request before, later if its first one may still
 *    be on its way. Measured with clients that never retry: nothing is lost.
 * 4. At the same time endless answers end. Server-sent events: the client reconnects by itself, to a sibling, so waiting
 *    would only delay the stop by the whole budget. WebSockets: told 1001, "going away" (RFC 6455 §7.4.1). Any other
 *    answer under way, however quiet, may be one that matters (a slow download, a long computation): it gets until the
 *    deadline, and is then cut.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { systemClock } from '../../core/clock.ts'
import type { Deadline } from '../deadline.ts'
import { trackHttp2, type Http2Sessions } from './http2.ts'
import { responseHeader } from './response-head.ts'

// Longest a keep-alive client may think between two requests without losing the connection under its hands. Milliseconds.
const LINGER_MS = 300
// The same before a connection's first request (browsers open some ahead), and in the middle of an incomplete one.
const FIRST_REQUEST_MS = 1000
const PARTIAL_REQUEST_MS = 5000
const SWEEP_MS = 25

export interface Connections {
  /** Requests being handled; of servers that are not HTTP, open connections. */
  readonly inFlight: number
  /** Requests that have come so far. */
  readonly requests: number
  /** Follows a server; call before it accepts. */
  readonly watch: (server: Server) => void
  /** Resolves when every connection is done, by the deadline at the latest, with what was cut off then. */
  drain(deadline: Deadline): Promise<readonly string[]>
}

interface Connection {
  readonly socket: Duplex & { readonly bytesRead?: number }
  readonly responses: Set<ServerResponse>
  /** Listens to each response's `close`: one function for all, since this is on the way of every request. */
  readonly onAnswered: (this: ServerResponse) => void
  /** The response that was made to say `Connection: close`. */
  farewell?: ServerResponse
  served: boolean
  /** No HTTP (any more): a WebSocket, a tunnel, or a server that never spoke it. */
  raw: 'websocket' | 'other' | undefined
  /** What had been read when it was last quiet, and since when it is. */
  bytesRead: number
  bytesAtRest: number
  quietSince: number
}

/** `observers` hear of each request before the app does. */
export function trackConnections(observers: readonly RequestListener[] = []): Connections {
  const servers = new Set<Server>()
  const connections = new Map<Duplex, Connection>()
  const http2 = trackHttp2()
  let draining = false
  let requests = 0

  const add = (socket: Socket, raw: Connection['raw']): Connection => {
    // Not 0 where TLS has shaken hands.
    const { bytesRead } = socket
    const quietSince = systemClock.monotonic()
    const responses = new Set<ServerResponse>()
    const connection: Connection = {
      socket,
      responses,
      served: false,
      raw,
      bytesRead,
      bytesAtRest: bytesRead,
      quietSince,
      onAnswered() {
        responses.delete(this)
        connection.served = true
        connection.bytesAtRest = socket.bytesRead
        connection.quietSince = systemClock.monotonic()
      },
    }
    connections.set(socket, connection)
    socket.once('close', () => connections.delete(socket))
    return connection
  }

  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    requests += 1
    for (const observe of observers) observe(request, response)
    // HTTP/2 is followed by its sessions.
    if (request.httpVersionMajor > 1) return
    const connection = connections.get(request.socket) ?? add(request.socket, undefined)
    connection.responses.add(response)
    if (draining) sayFarewell(connection)
    response.on('close', connection.onAnswered)
  }

  const onUpgrade = (request: IncomingMessage, socket: Duplex): void => {
    const connection = connections.get(socket)
    if (connection) connection.raw = request.headers.upgrade?.toLowerCase() === 'websocket' ? 'websocket' : 'other'
  }

  const watch = (server: Server): void => {
    if (servers.has(server)) return
    servers.add(server)
    http2.watch(server)
    const speaksHttp2 = typeof Reflect.get(server, 'updateSettings') === 'function'
    // Told by what they have, as the others are: their modules, unless the app has imported them, cost several MiB.
    const speaksHttp = 'headersTimeout' in server || speaksHttp2
    const isTls = typeof Reflect.get(server, 'setSecureContext') === 'function'
    server.prependListener(isTls ? 'secureConnection' : 'connection', (socket: Socket) => {
      const isHttp2 = speaksHttp2 && (!isTls || Reflect.get(socket, 'alpnProtocol') === 'h2')
      if (!isHttp2) add(socket, speaksHttp ? undefined : 'other')
    })
    if (!speaksHttp) return
    server.prependListener('request', onRequest)
    // Without listeners for these Node does something sensible by itself, so ours may only go along with the app's.
    for (const event of ['checkContinue', 'checkExpectation']) follow(server, event, onRequest)
    for (const event of ['upgrade', 'connect']) follow(server, event, onUpgrade)
  }

  const drain = async (deadline: Deadline): Promise<readonly string[]> => {
    draining = true
    for (const server of servers) if (server.listening) Server.prototype.close.call(server)
    for (const connection of connections.values()) sayFarewell(connection)
    http2.goAway()
    await swept(connections, http2, deadline)
    const cut = describeRest(connections, http2)
    for (const { socket } of connections.values()) socket.destroy()
    http2.destroy()
    return cut
  }

  return {
    get inFlight() {
      let count = http2.streams
      for (const { responses, raw } of connections.values()) count += raw === 'other' ? 1 : responses.size
      return count
    },
    get requests() {
      return requests
    },
    watch,
    drain,
  }
}

/** In the last of the responses under way, in the order of their requests; it may be written already, and waits for those before it. */
function sayFarewell(connection: Connection): void {
  const last = [...connection.responses].at(-1)
  if (last === undefined || last.headersSent) return
  if (connection.farewell?.headersSent === false) connection.farewell.removeHeader('Connection')
  last.setHeader('Connection', 'close')
  connection.farewell = last
}

/** Listens once the app does. */
function follow<Subject>(server: Server, event: string, listener: (request: IncomingMessage, subject: Subject) => void): void {
  if (server.listenerCount(event) > 0) return void server.prependListener(event, listener)
  const onNew = (name: string | symbol): void => {
    if (name !== event) return
    server.off('newListener', onNew)
    server.prependListener(event, listener)
  }
  server.on('newListener', onNew)
}

/** Resolves when nothing is left, or at the deadline. */
function swept(connections: ReadonlyMap<Duplex, Connection>, http2: Http2Sessions, deadline: Deadline): Promise<void> {
  const began = systemClock.monotonic()
  let ended = false
  return new Promise((resolve) => {
    const sweep = (): void => {
      const now = systemClock.monotonic()
      for (const connection of connections.values()) closeIfQuiet(connection, began, now)
      if (!ended && now - began >= LINGER_MS) {
        ended = true
        for (const connection of connections.values()) endEndless(connection)
        http2.endEventStreams()
      }
      if ((connections.size === 0 && http2.sessions === 0) || deadline.remainingMs() === 0) return resolve()
      systemClock.after(SWEEP_MS, sweep)
    }
    sweep()
  })
}

function closeIfQuiet(connection: Connection, began: number, now: number): void {
  const { socket, responses, raw, served } = connection
  if (raw !== undefined || responses.size > 0) return
  const bytesRead = socket.bytesRead ?? 0
  if (bytesRead !== connection.bytesRead) {
    connection.bytesRead = bytesRead
    connection.quietSince = now
  }
  const isPartial = bytesRead > connection.bytesAtRest
  const patience = isPartial ? PARTIAL_REQUEST_MS : served ? LINGER_MS : FIRST_REQUEST_MS
  // A client that has been idle for long may speak just now: the drain itself counts as its last sign of life.
  if (now - Math.max(began, connection.quietSince) >= patience) socket.destroy()
}

function endEndless({ socket, responses, raw }: Connection): void {
  if (raw === 'websocket') {
    // A close frame, FIN set and unmasked as from a server: opcode 8, two bytes, 1001 (RFC 6455 §5.2, §5.5.1).
    socket.write(Buffer.from([0x88, 0x02, 0x03, 0xe9]))
    socket.end()
  }
  for (const response of responses) {
    if (!isEventStream(response)) continue
    // The app may write once more before it hears of the end; that is no error of anybody.
    response.on('error', () => {})
    response.end()
  }
}

function isEventStream(response: ServerResponse): boolean {
  if (!response.headersSent || response.writableEnded) return false
  return responseHeader(response, 'content-type')?.toLowerCase().startsWith('text/event-stream') === true
}

function describeRest(connections: ReadonlyMap<Duplex, Connection>, http2: Http2Sessions): readonly string[] {
  const rest: string[] = []
  let requests = http2.streams
  let others = 0
  for (const { responses, raw } of connections.values()) {
    requests += responses.size
    if (raw !== undefined) others += 1
  }
  if (requests > 0) rest.push(`${requests} request${requests === 1 ? '' : 's'} in flight`)
  if (others > 0) rest.push(`${others} upgraded or raw connection${others === 1 ? '' : 's'}`)
  return rest
}
