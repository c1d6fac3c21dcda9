/** Follows HTTP/2 sessions, which say goodbye in their own way. */
import type { Http2Session, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { Server } from 'node:net'

export interface Http2Sessions {
  readonly sessions: number
  /** Requests being handled. */
  readonly streams: number
  watch(server: Server): void
  /**
   * GOAWAY (RFC 9113 §6.8): no new streams, those under way finish, then the session closes. Also for sessions yet to come. It names the
   * last stream it has seen: a client whose next one crosses it learns that this was not processed, and sends it again elsewhere.
   * (Node has no way to send nghttp2's notice in advance, which would spare it that.)
   */
  goAway(): void
  /** Ends answers of type text/event-stream. */
  endEventStreams(): void
  destroy(): void
}

export function trackHttp2(): Http2Sessions {
  const sessions = new Set<Http2Session>()
  const streams = new Set<ServerHttp2Stream>()
  let leaving = false

  const onSession = (session: ServerHttp2Session): void => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
    session.on('stream', (stream) => {
      streams.add(stream)
      stream.once('close', () => streams.delete(stream))
    })
    if (leaving) session.close()
  }

  return {
    get sessions() {
      return sessions.size
    },
    get streams() {
      return streams.size
    },
    watch: (server) => void server.on('session', onSession),
    goAway() {
      leaving = true
      for (const session of sessions) session.close()
    },
    endEventStreams() {
      for (const stream of streams) {
        const type = stream.sentHeaders?.['content-type']
        if (stream.headersSent && typeof type === 'string' && type.toLowerCase().startsWith('text/event-stream')) stream.end()
      }
    },
    destroy() {
      for (const session of sessions) session.destroy()
    },
  }
}
