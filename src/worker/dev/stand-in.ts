/** The web app while there is none that works, under `omnibus dev`: pages show why (see page.ts), and whatever else asks is told. */
import type { IncomingMessage, ServerResponse } from 'node:http'

export default function standIn(_request: IncomingMessage, response: ServerResponse): void {
  response
    .writeHead(503, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store', connection: 'close' })
    .end('The web app does not load; see the terminal of omnibus dev.\n')
}
