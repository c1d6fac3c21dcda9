/** One line per request when its response is over, also where the client went away in the middle. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { type Atom, parseFormat, type Piece } from '../../config/access-log.ts'
import { systemClock } from '../../core/clock.ts'
import { redactTarget } from '../../core/redact.ts'
import { clientAddresses } from './client-address.ts'
import { responseHeader, sentHead } from './response-head.ts'

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly address: string
  /** As it came, without secrets: routers write others into the request while they look for the route. */
  readonly url: string
  readonly durationMs: number
  /** Of the body, as sent. */
  readonly bytes: number
}

type Print = (exchange: Exchange) => string

// Longest a value may be in a line; the rest is cut.
const MAX_VALUE = 4096

/** `format` and `trusted` (see `clientAddresses`) were checked with the config. `print` gets each line. */
export function accessLog(format: string, trusted: readonly string[], print: (line: string) => void): RequestListener {
  const line = compile(parseFormat(format))
  const addressOf = clientAddresses(trusted)
  // Of connections with pipelined requests: what they had sent when their last response ended.
  const ends = new WeakMap<object, number>()
  return (request, response) => {
    const { socket } = request
    const url = redactTarget(request.url ?? '')
    const began = systemClock.monotonic()
    const address = addressOf(request)
    const bytesBefore = socket.bytesWritten
    // A pipelined request comes while the response before its own has the connection and is still being sent.
    if (response.socket === null) ends.set(socket, bytesBefore)
    let bytes: number | undefined
    const measure = (): number => {
      const known = bytesBySelf(request, response)
      const before = ends.get(socket)
      if (known !== undefined && before === undefined) return known
      const now = socket.bytesWritten
      if (before !== undefined) ends.set(socket, now)
      return known ?? Math.max(0, now - Math.max(bytesBefore, before ?? 0) - (sentHead(response)?.length ?? 0))
    }
    // Before Node's own listener, which gives the connection to the next response.
    response.prependListener('finish', () => (bytes = measure()))
    response.once('close', () => {
      print(line({ request, response, address, url, durationMs: systemClock.monotonic() - began, bytes: bytes ?? measure() }))
    })
  }
}

function compile(pieces: readonly Piece[]): Print {
  const prints = pieces.map(printOf)
  return (exchange) => {
    let line = ''
    for (const print of prints) line += print(exchange)
    return line
  }
}

function printOf(piece: Piece): Print {
  if ('text' in piece) return () => piece.text
  if ('atom' in piece) return atoms[piece.atom]
  const name = piece.name.toLowerCase()
  if (piece.from === 'i') return ({ request }) => value(request.headers[name])
  if (piece.from === 'o') return ({ response }) => value(responseHeader(response, name))
  const variable = value(process.env[piece.name])
  return () => variable
}

const secondOf = lastOf((second: number) => timeOf(second * 1000))

const atoms: Readonly<Record<Atom, Print>> = {
  h: ({ address }) => value(address),
  // Of a service (identd) that nobody runs any more.
  l: () => '-',
  u: ({ request }) => value(userOf(request.headers.authorization)),
  t: ({ durationMs }) => secondOf(Math.floor((systemClock.wall() - durationMs) / 1000)),
  r: ({ request, url }) => value(`${request.method} ${url} HTTP/${request.httpVersion}`),
  m: ({ request }) => value(request.method),
  U: ({ url }) => value(url.split('?', 1)[0]),
  q: ({ url }) => value(url.includes('?') ? url.slice(url.indexOf('?') + 1) : undefined),
  H: ({ request }) => `HTTP/${request.httpVersion}`,
  // Without a head the client has seen none.
  s: ({ response }) => (response.headersSent ? String(response.statusCode) : '-'),
  B: ({ bytes }) => String(bytes),
  b: ({ bytes }) => (bytes === 0 ? '-' : String(bytes)),
  f: ({ request }) => value(request.headers.referer),
  a: ({ request }) => value(request.headers['user-agent']),
  T: ({ durationMs }) => String(Math.floor(durationMs / 1000)),
  M: ({ durationMs }) => String(Math.floor(durationMs)),
  D: ({ durationMs }) => String(Math.floor(durationMs * 1000)),
  L: ({ durationMs }) => (durationMs / 1000).toFixed(6),
  p: () => `<${process.pid}>`,
}

/** Of the body; undefined where only the connection can tell. */
function bytesBySelf(request: IncomingMessage, response: ServerResponse): number | undefined {
  const { statusCode } = response
  if (request.method === 'HEAD' || statusCode === 204 || statusCode === 304 || !response.headersSent) return 0
  const length = response.writableFinished ? responseHeader(response, 'content-length') : undefined
  if (length !== undefined) return Number(length)
  // The streams of HTTP/2 share their connection, so what one of them has sent cannot be told by it.
  return request.httpVersionMajor > 1 ? 0 : undefined
}

function userOf(authorization: string | undefined): string | undefined {
  const [, credentials] = /^Basic +(\S+)$/i.exec(authorization ?? '') ?? []
  return credentials === undefined ? undefined : Buffer.from(credentials, 'base64').toString('latin1').split(':', 1)[0]
}

/** Clients write what they like: quotes, backslashes and control characters are escaped, so that a line stays one line. */
function value(given: string | readonly string[] | undefined): string {
  const text = String(given ?? '')
  if (text === '') return '-'
  const cut = text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}...` : text
  return UNSAFE.test(cut) ? cut.replaceAll(EACH_UNSAFE, escaped) : cut
}

// Unicode's own class for control characters, \p{Cc}, would be several times slower on each value of each line.
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const UNSAFE = /["\\\x00-\x1f\x7f-\x9f]/
const EACH_UNSAFE = new RegExp(UNSAFE, 'g')

function escaped(character: string): string {
  return character === '"' || character === '\\' ? `\\${character}` : `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
}

/** Remembers the last answer: many requests begin in one second. */
function lastOf<K, V>(make: (key: K) => V): (key: K) => V {
  let last: { readonly key: K; readonly made: V } | undefined
  return (key) => {
    if (last?.key !== key) last = { key, made: make(key) }
    return last.made
  }
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** `[10/Oct/2026:13:55:36 +0200]` */
function timeOf(wall: number): string {
  const date = new Date(wall)
  const two = (number: number): string => String(number).padStart(2, '0')
  const offset = -date.getTimezoneOffset()
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`
  const day = `${two(date.getDate())}/${MONTHS[date.getMonth()]}/${date.getFullYear()}`
  return `[${day}:${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')} ${zone}]`
}
