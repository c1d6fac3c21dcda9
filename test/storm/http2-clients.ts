/** Clients that speak HTTP/2, each with a session that it uses until the server says goodbye. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { setTimeout as pause } from 'node:timers/promises'
import { type Client, HUNG_MS, type Kind } from './clients.ts'

const { NGHTTP2_REFUSED_STREAM } = constants

interface Answer {
  readonly status: number | undefined
  readonly text: string
}

/** The server has not processed it, and says so: it crossed the goodbye (RFC 9113 §6.8), and belongs on the next session. */
class Refused extends Error {}

type Write = (stream: ClientHttp2Stream) => Promise<void>

function exchange(session: ClientHttp2Session, headers: Record<string, string>, write: Write, signal?: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers)
    let [text, status, ended] = ['', undefined as number | undefined, false]
    const leave = (): void => stream.close()
    signal?.addEventListener('abort', leave, { once: true })
    stream.setTimeout(HUNG_MS, () => stream.destroy(new Error('hung')))
    stream.on('response', (head) => (status = head[':status']))
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
    stream.on('end', () => (ended = true))
    stream.on('error', (error) => reject(stream.rstCode === NGHTTP2_REFUSED_STREAM ? new Refused() : error))
    stream.on('close', () => {
      signal?.removeEventListener('abort', leave)
      if (stream.rstCode === NGHTTP2_REFUSED_STREAM) reject(new Refused())
      else if (ended || signal?.aborted) resolve({ status, text })
      else reject(new Error(`closed with ${stream.rstCode} before its end`))
    })
    void write(stream)
  })
}

/** What a client does with its session; a stream that was refused is sent once more, on a new one. */
function inSession(use: (session: ClientHttp2Session, signal: AbortSignal) => Promise<void>) {
  return (): ReturnType<Kind['open']> => {
    let session: ClientHttp2Session | undefined
    const open = (url: URL): ClientHttp2Session => {
      if (session && !session.closed && !session.destroyed) return session
      session = connect(url)
      // Each stream tells it too.
      session.on('error', () => undefined)
      return session
    }
    const client: Client = async (url, signal) => {
      try {
        await use(open(url), signal)
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        session?.close()
        await use(open(url), signal)
      }
    }
    return { client, [Symbol.dispose]: () => session?.close() }
  }
}

const request = inSession(async (session) => {
  const { status } = await exchange(session, { ':path': '/' }, async (stream) => void stream.end())
  if (status !== 200) throw new Error(`status ${status}`)
})

const slowPost = inSession(async (session) => {
  const { text } = await exchange(session, { ':path': '/', ':method': 'POST' }, async (stream) => {
    for (let i = 0; i < 10 && !stream.destroyed; i++) {
      stream.write('x'.repeat(1_000))
      await pause(50)
    }
    stream.end()
  })
  if ((JSON.parse(text) as { length: number }).length !== 10_000) throw new Error(`answered ${text}`)
})

/** Listens until the server ends the stream, which it must do cleanly. */
const events = inSession(async (session, signal) => {
  await exchange(session, { ':path': '/events' }, async (stream) => void stream.end(), signal)
})

/** About 500 requests a second, one after the other in ten sessions; and some of each other kind. */
export const HTTP2: readonly Kind[] = [
  { name: 'requests', count: 10, everyMs: 20, open: request },
  { name: 'slow POST', count: 2, everyMs: 20, open: slowPost },
  { name: 'events', count: 2, everyMs: 0, open: events },
]
