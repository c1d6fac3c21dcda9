/** Where a broker listens, who we are there, and how both are read from a URL. */
import { type Field, type Fields, oneOf, whole } from '../../core/options.ts'
import { numeric, readUrl, TLS_QUERY, type TlsFiles, tlsFilesIn, type TlsQuery } from '../../core/url-options.ts'

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
  /** Query parameters `cacertfile`, `certfile` and `keyfile`. */
  readonly files: TlsFiles
}

/** SASL's, as far as we speak it. EXTERNAL is the client certificate. */
const MECHANISMS = ['PLAIN', 'AMQPLAIN', 'EXTERNAL'] as const
export type Mechanism = (typeof MECHANISMS)[number]

interface Query extends TlsQuery {
  readonly auth_mechanism?: Mechanism
  readonly heartbeat?: number
  readonly frame_max?: number
  readonly channel_max?: number
}

const QUERY: Fields<Query> = {
  auth_mechanism: inCapitals(oneOf(MECHANISMS)),
  heartbeat: numeric(whole({ max: 65_535 })),
  frame_max: numeric(whole({ min: 4096, max: 0xffff_ffff })),
  channel_max: numeric(whole({ min: 1, max: 65_535 })),
  ...TLS_QUERY,
}

/**
 * Reads a URL as https://www.rabbitmq.com/uri-spec and uri-query-parameters have it, with the defaults guest:guest, vhost '/',
 * port 5672 or, with TLS, 5671. Throws `ConfigError`.
 */
export function parseAddress(url: URL): Address {
  return readUrl("The broker's URL", url, QUERY, ({ query, host, username, password, path, refuse }) => {
    const tls = url.protocol === 'amqps:'
    const { auth_mechanism: mechanism, heartbeat, frame_max: frameMax, channel_max: channelMax } = query
    if (mechanism === 'EXTERNAL' && !(tls && query.certfile !== undefined))
      refuse('auth_mechanism', 'amqps: and a client certificate (certfile, keyfile) with EXTERNAL', tls ? 'no certfile' : url.protocol)
    const nobody = url.username === '' && url.password === ''
    return {
      target: { kind: tls ? 'tls' : 'tcp', host: host || 'localhost', port: url.port === '' ? (tls ? 5671 : 5672) : Number(url.port) },
      credentials: { username: username || 'guest', password: nobody ? 'guest' : password },
      // No name and '/' both mean the vhost every broker has: nobody names a vhost ''.
      vhost: path || '/',
      ...(mechanism === undefined ? {} : { mechanism }),
      ...(heartbeat === undefined ? {} : { heartbeatMs: heartbeat * 1000 }),
      ...(frameMax === undefined ? {} : { frameMax }),
      ...(channelMax === undefined ? {} : { channelMax }),
      files: tlsFilesIn(query),
    }
  })
}

/** A target as errors show it. */
export function describeTarget(target: Target): string {
  if (target.kind === 'unix') return target.path
  return `${target.kind === 'tls' ? 'amqps' : 'amqp'}://${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`
}

/** Names of mechanisms are written either way. */
function inCapitals<T>(field: Field<T>): Field<T> {
  return { read: (value, path, problems) => field.read(String(value).toUpperCase(), path, problems) }
}
