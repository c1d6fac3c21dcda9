/** /livez, /startupz, /readyz and /status, from the master's own state alone. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Bound } from './listen.ts'
import type { Status } from './status.ts'

export interface Probes {
  close(): void
}

export async function startProbes(bound: Bound, status: () => Status): Promise<Probes> {
  // Only where it is asked for: it makes the master a third larger.
  const { createServer } = await import('node:http')
  const server = createServer((request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, { error: 'only GET and HEAD' })
    const now = status()
    switch (request.url?.split('?')[0]) {
      case '/livez':
        return answer(response, 200, { alive: true })
      case '/startupz':
        // Also while it stops: who probes this waits for the start alone.
        return answer(response, ['running', 'stopping'].includes(now.phase) ? 200 : 503, { phase: now.phase })
      case '/readyz':
        return answer(response, now.ready ? 200 : 503, { ready: now.ready, degraded: now.degraded, reasons: now.reasons })
      case '/status':
        return answer(response, 200, { pid: process.pid, ...now })
      default:
        return answer(response, 404, { error: 'one of /livez, /startupz, /readyz and /status' })
    }
  })
  server.listen(bound.adopt())
  await once(server, 'listening')
  // They must not keep an ending master alive.
  server.unref()
  return {
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function answer(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(`${JSON.stringify(body)}\n`)
}
