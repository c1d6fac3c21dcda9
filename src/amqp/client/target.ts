/** Where a broker listens, who we are there, and how both are read from a URL. */
import { ConnectionError } from '../../core/errors.ts'
import { nearest } from '../../core/options.ts'

export type Target =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'tls'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

export interface Credentials {
  readonly username: string
  readonly password: string
}

/** What an `amqp:` or `amqps:` URL says. */
export interface Address {
  readonly target: Target
  readonly credentials: Credentials
  readonly vhost: string
  /** Query parameter `auth_mechanism`, in capitals. */
  readonly mechanism?: Mechanism
  /** Query parameter `heartbeat`, given in seconds. */
  readonly heartbeatMs?: number
  /** Query parameter `frame_max`, from 4096. */
  readonly frameMax?: number
  /** Query parameter `channel_max`. */
  readonly channelMax?: number
  /** Query parameters `cacertfile`, `certfile` and `keyfile`: PEM files. */
  readonly files: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

/** SASL's, as far as we speak it. EXTERNAL is the client certificate. */
const MECHANISMS = ['PLAIN', 'AMQPLAIN', 'EXTERNAL'] as const
export type Mechanism = (typeof MECHANISMS)[number]

const PARAMETERS = ['auth_mechanism', 'heartbeat', 'frame_max', 'channel_max', 'cacertfile', 'certfile', 'keyfile']

/**
 * Reads a URL as https://www.rabbitmq.com/uri-spec and uri-query-parameters have it, with the defaults guest:guest, vhost '/',
 * port 5672 or, with TLS, 5671. Throws a fatal `ConnectionError` that says what is wrong without repeating any secret.
 */
export function parseAddress(url: URL): Address {
  const tls = url.protocol === 'amqps:'
  const host = decode(url.hostname, 'host').replace(/^\[(.*)\]$/, '$1')
  const port = url.port === '' ? (tls ? 5671 : 5672) : Number(url.port)
  for (const name of url.searchParams.keys()) {
    if (PARAMETERS.includes(name)) continue
    const near = nearest(name, PARAMETERS)
    throw invalid(`the query parameter "${name}" is unknown; ${near ? `did you mean "${near}"?` : `known are ${PARAMETERS.join(', ')}`}`)
  }
  const heartbeat = whole(url, 'heartbeat', 0, 65_535)
  const frameMax = whole(url, 'frame_max', 4096, 0xffff_ffff)
  const channelMax = whole(url, 'channel_max', 1, 65_535)
  const mechanism = mechanismOf(url)
  const file = (name: string, key: string): object => {
    const path = url.searchParams.get(name)
    return path === null ? {} : { [key]: path }
  }
  return {
    target: { kind: tls ? 'tls' : 'tcp', host: host === '' ? 'localhost' : host, port },
    credentials: {
      username: url.username === '' ? 'guest' : decode(url.username, 'user name'),
      password: url.username === '' && url.password === '' ? 'guest' : decode(url.password, 'password'),
    },
    // No name and '/' both mean the vhost every broker has: nobody names a vhost ''.
    vhost: decode(url.pathname.replace(/^\//, ''), 'vhost') || '/',
    ...(mechanism === undefined ? {} : { mechanism }),
    ...(heartbeat === undefined ? {} : { heartbeatMs: heartbeat * 1000 }),
    ...(frameMax === undefined ? {} : { frameMax }),
    ...(channelMax === undefined ? {} : { channelMax }),
    files: { ...file('cacertfile', 'ca'), ...file('certfile', 'cert'), ...file('keyfile', 'key') },
  }
}

/** A target as errors show it. */
export function describeTarget(target: Target): string {
  if (target.kind === 'unix') return target.path
  return `${target.kind === 'tls' ? 'amqps' : 'amqp'}://${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid(`the ${what} is not percent-encoded correctly; a "%" itself is written %25`)
  }
}

function mechanismOf(url: URL): Mechanism | undefined {
  const text = url.searchParams.get('auth_mechanism')
  if (text === null) return undefined
  const mechanism = MECHANISMS.find((known) => known === text.toUpperCase())
  if (!mechanism) throw invalid(`the query parameter auth_mechanism must be one of ${MECHANISMS.join(', ')}, got "${text}"`)
  if (mechanism === 'EXTERNAL' && !(url.protocol === 'amqps:' && url.searchParams.has('certfile'))) {
    throw invalid('auth_mechanism=EXTERNAL needs amqps: and a client certificate (certfile, keyfile)')
  }
  return mechanism
}

function whole(url: URL, name: string, min: number, max: number): number | undefined {
  const text = url.searchParams.get(name)
  if (text === null) return undefined
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= min && value <= max) return value
  throw invalid(`the query parameter ${name} must be a whole number from ${min} to ${max}, got "${text}"`)
}

function invalid(problem: string): ConnectionError {
  return new ConnectionError(`The broker's URL cannot be used: ${problem}`, { fatal: true })
}
