/** Answers a browser's navigations with the page of faults while there are any; all other requests reach the app. */
import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Server } from 'node:net'
import type { UnitFault } from '../../supervisor/protocol.ts'
import { renderPage } from './page-html.ts'

/** Asked by the page, which reloads itself when the answer is another one. */
const STATE_PATH = '/__omnibus/faults'

let shown: { readonly id: string; readonly faults: readonly UnitFault[] } | undefined

/** From now on these are shown; none: the app is. */
export function showFaults(faults: readonly UnitFault[]): void {
  if (shown === undefined) interceptRequests()
  const id = faults.length === 0 ? '' : createHash('sha256').update(JSON.stringify(faults)).digest('base64url')
  shown = { id, faults }
}

/** At the servers themselves, so that it works with whatever framework listens to them. */
function interceptRequests(): void {
  const emit: unknown = Reflect.get(Server.prototype, 'emit')
  Server.prototype.emit = function (this: Server, name: string | symbol, ...args: unknown[]) {
    if (name === 'request' && answer(args[0] as IncomingMessage, args[1] as ServerResponse)) return true
    return Reflect.apply(emit as Server['emit'], this, [name, ...args]) as boolean
  }
}

function answer(request: IncomingMessage, response: ServerResponse): boolean {
  if (shown === undefined || (request.method !== 'GET' && request.method !== 'HEAD')) return false
  const { id, faults } = shown
  if (request.url?.split('?')[0] === STATE_PATH) {
    send(response, 200, 'application/json', JSON.stringify({ id }))
    return true
  }
  if (faults.length === 0 || !isNavigation(request)) return false
  const nonce = randomBytes(16).toString('base64')
  const policy = `default-src 'none'; style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'; connect-src 'self'; base-uri 'none'; frame-ancestors 'self'`
  response.setHeader('content-security-policy', policy)
  send(response, 500, 'text/html; charset=utf-8', renderPage(faults, { id, statePath: STATE_PATH, nonce, root: process.cwd() }))
  return true
}

/** Somebody will look at the answer: a document, not what a script or another program asks for. */
function isNavigation({ headers }: IncomingMessage): boolean {
  const destination = headers['sec-fetch-dest']
  return (
    (destination === undefined || destination === 'document' || destination === 'iframe') && (headers.accept ?? '').includes('text/html')
  )
}

function send(response: ServerResponse, code: number, type: string, body: string): void {
  // The worker behind this connection may be on its way out.
  response.writeHead(code, { 'content-type': type, 'cache-control': 'no-store', connection: 'close' }).end(body)
}
