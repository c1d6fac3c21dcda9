/** Clients of every kind that never try a request twice, at a steady rate; what goes wrong for any of them is told. */
import { Agent, get, request } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { ask } from '../worker/load.ts'

export interface Tally {
  /** By kind: requests answered, or connections of a kind that ended as they ought to. */
  readonly done: Map<string, number>
  readonly failures: string[]
}

export interface Clients extends Tally {
  stop(): Promise<void>
}

/** Longest anything may take before it counts as hung. */
export const HUNG_MS = 10_000

/** Asks once, or listens until it is told to leave; rejects for whatever ought not to be. */
export type Client = (url: URL, signal: AbortSignal) => Promise<void>

export interface Kind {
  readonly name: string
  readonly count: number
  /** From the begin of one to that of the next, where it is over by then. Milliseconds. */
  readonly everyMs: number
  /** A client, with whatever it keeps from one request to the next until it is disposed of. */
  readonly open: () => Disposable & { readonly client: Client }
}

/** Its body takes longer than a reload is apart from the next. */
const slowPost: Client = async (url) => {
  const answer = await new Promise<string>((resolve, reject) => {
    const outgoing = request(url, { method: 'POST', agent: false, timeout: HUNG_MS }, (response) => {
      response.setEncoding('utf8').on('error', reject)
      let text = ''
      response.on('data', (chunk: string) => (text += chunk)).on('end', () => resolve(text))
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error('hung'))).on('error', reject)
    void (async () => {
      for (let i = 0; i < 10; i++) {
        outgoing.write('x'.repeat(1_000))
        await pause(50)
      }
      outgoing.end()
    })()
  })
  if ((JSON.parse(answer) as { length: number }).length !== 10_000) throw new Error(`answered ${answer}`)
}

/** Three requests in one packet; the answers in order, up to one that says it is the last (RFC 9112 §9.3.2, §9.6). */
const pipelined: Client = (url) =>
  new Promise((resolve, reject) => {
    const socket = connect(Number(url.port), url.hostname)
    let text = ''
    const heads = (): string[] => text.match(/HTTP\/1\.1 [^]*?\r\n\r\n\{[^}]*\}/g) ?? []
    socket.setTimeout(HUNG_MS, () => socket.destroy(new Error('hung')))
    socket.on('connect', () => socket.write(`GET / HTTP/1.1\r\nHost: ${url.host}\r\n\r\n`.repeat(3)))
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (heads().length === 3) socket.end()
    })
    socket.on('error', reject)
    socket.on('close', () => {
      const answers = heads()
      const complete = answers.length === 3 || /connection: close/i.test(answers.at(-1) ?? '')
      if (complete && answers.every((answer) => answer.startsWith('HTTP/1.1 200'))) resolve()
      else reject(new Error(`${answers.length} of 3 answers, the last: ${JSON.stringify(answers.at(-1)?.slice(0, 200))}`))
    })
  })

/** Listens until the server ends the stream, which it must do cleanly. */
const events: Client = (url, signal) =>
  new Promise((resolve, reject) => {
    const failed = (error: Error): void => (signal.aborted ? resolve() : reject(error))
    const outgoing = get(new URL('/events', url), { agent: false }, (response) => {
      response.setTimeout(HUNG_MS, () => outgoing.destroy(new Error('no event came')))
      response.on('error', failed).on('end', resolve).resume()
    })
    const leave = (): void => void outgoing.destroy()
    outgoing.on('error', failed).on('close', () => signal.removeEventListener('abort', leave))
    signal.addEventListener('abort', leave, { once: true })
  })

/** Speaks until the server goes away, which it must say (1001, RFC 6455 §7.4.1). */
const webSocket: Client = (url, signal) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${url.host}`, { handshakeTimeout: HUNG_MS })
    const timer = setInterval(() => socket.readyState === WebSocket.OPEN && socket.send('x'), 50)
    const leave = (): void => socket.close()
    signal.addEventListener('abort', leave, { once: true })
    socket.on('error', reject)
    socket.on('close', (code) => {
      clearInterval(timer)
      signal.removeEventListener('abort', leave)
      if (code === 1001 || signal.aborted) resolve()
      else reject(new Error(`closed with ${code}`))
    })
  })

const plain = (client: Client) => (): ReturnType<Kind['open']> => ({ client, [Symbol.dispose]() {} })

const withAgent = (keepAlive: boolean) => (): ReturnType<Kind['open']> => {
  const agent = new Agent({ keepAlive, maxSockets: 1 })
  return { client: async (url) => void (await ask(url.href, { agent })), [Symbol.dispose]: () => agent.destroy() }
}

/** About 500 requests a second, half of them on connections that stay; and some of each other kind. */
export const HTTP1: readonly Kind[] = [
  { name: 'keep-alive', count: 5, everyMs: 20, open: withAgent(true) },
  { name: 'closing', count: 5, everyMs: 20, open: withAgent(false) },
  { name: 'pipelined', count: 2, everyMs: 20, open: plain(pipelined) },
  { name: 'slow POST', count: 2, everyMs: 20, open: plain(slowPost) },
  { name: 'events', count: 2, everyMs: 0, open: plain(events) },
  { name: 'WebSocket', count: 2, everyMs: 0, open: plain(webSocket) },
]

export function startClients(address: string, kinds: readonly Kind[]): Clients {
  const url = new URL(address)
  const done = new Map<string, number>()
  const failures: string[] = []
  const stopping = new AbortController()
  const run = async ({ name, everyMs, open }: Kind): Promise<void> => {
    using opened = open()
    while (!stopping.signal.aborted) {
      const next = pause(everyMs)
      try {
        await opened.client(url, stopping.signal)
        done.set(name, (done.get(name) ?? 0) + 1)
      } catch (error) {
        failures.push(`${name}: ${String(error)}`)
      }
      await next
    }
  }
  const running = kinds.flatMap((kind) => Array.from({ length: kind.count }, () => run(kind)))
  return {
    done,
    failures,
    async stop() {
      stopping.abort()
      await Promise.all(running)
    },
  }
}
