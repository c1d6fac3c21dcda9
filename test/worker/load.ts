/** HTTP clients that never try twice. */
import { Agent, request } from 'node:http'

export interface Load {
  readonly answered: () => number
  readonly failures: readonly string[]
  readonly seen: ReadonlySet<string>
  stop(): Promise<void>
}

/** Longest an answer may take; beyond it the request counts as lost. */
const ANSWER_MS = 10_000

/** Clients that send one request after the other until stopped; each has a connection of its own, or a new one per request. */
export function startLoad(url: string, clients: { readonly keepAlive: number; readonly closing: number; readonly posting: number }): Load {
  const failures: string[] = []
  const seen = new Set<string>()
  let answered = 0
  let stopping = false
  const client = async (keepAlive: boolean, body?: Buffer): Promise<void> => {
    const agent = new Agent({ keepAlive, maxSockets: 1 })
    for (let i = 0; !stopping; i++) {
      try {
        const path = i % 10 === 9 ? '/slow?ms=40' : '/'
        seen.add(await ask(`${url}${path}`, { agent, ...(body && { body }) }))
        answered += 1
      } catch (error) {
        failures.push(`${keepAlive ? 'keep-alive' : 'closing'}: ${String(error)}`)
      }
      // Some think between two requests, which leaves their connection idle for a moment.
      if (i % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    agent.destroy()
  }
  const running = [
    ...Array.from({ length: clients.keepAlive }, () => client(true)),
    ...Array.from({ length: clients.closing }, () => client(false)),
    ...Array.from({ length: clients.posting }, () => client(true, Buffer.alloc(200_000))),
  ]
  return {
    answered: () => answered,
    failures,
    seen,
    async stop() {
      stopping = true
      await Promise.all(running)
    },
  }
}

export interface AskOptions {
  readonly agent?: Agent
  readonly body?: Buffer
  readonly headers?: Readonly<Record<string, string>>
  /** Of a unix socket. */
  readonly socketPath?: string
  readonly onHead?: (headers: NodeJS.Dict<string | string[]>) => void
}

/** The body of a 200; rejects for everything else. */
export function ask(url: string, { agent = new Agent(), body, onHead, ...given }: AskOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method: body ? 'POST' : 'GET', agent, timeout: ANSWER_MS, ...given }, (response) => {
      onHead?.(response.headers)
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('error', reject)
      response.on('end', () => (response.statusCode === 200 ? resolve(text) : reject(new Error(`status ${response.statusCode}`))))
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer in ${ANSWER_MS} ms`)))
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}
