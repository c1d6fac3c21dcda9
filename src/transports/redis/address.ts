/** What a `redis:` or `valkey:` URL says. Query parameters are Kombu's transport options, by their names. */
import { decimal, type Field, type Fields, flag, show, text } from '../../core/options.ts'
import { numeric, readUrl, TLS_QUERY, type TlsFiles, tlsFilesIn, type TlsQuery, truth } from '../../core/url-options.ts'
import type { Names } from './names.ts'

export interface Address {
  readonly host: string
  readonly port: number
  readonly tls: boolean
  readonly database: number
  readonly username: string | undefined
  readonly password: string | undefined
  /** At a `sentinel:` URL, the name of the master: `master_name`. */
  readonly master?: string
  /** The Sentinel's own password: `sentinel_password`. */
  readonly sentinelPassword: string | undefined
  readonly names: Names
  /** After this long Kombu gives a held message to another consumer: `visibility_timeout`, given in seconds. */
  readonly visibilityMs: number
  /** After this long without a sign of life a session is over, and what it held comes again: `lease_seconds`. */
  readonly leaseMs: number
  /** Between looks into queues, should nobody have told of what is in them: `polling_interval`, given in seconds. */
  readonly pollMs: number
  /** Fanout goes to Kombu's channels, too: `fanout_pubsub`. */
  readonly fanoutPubsub: boolean
  /** PEM files: `cacertfile`, `certfile` and `keyfile`. */
  readonly files: TlsFiles
}

/** Parameters that do not say where the server is. */
export interface UseQuery {
  readonly global_keyprefix: string
  readonly sep: string
  readonly unacked_key: string
  readonly unacked_index_key: string
  readonly fanout_prefix: string
  readonly priority_steps: readonly number[]
  readonly visibility_timeout: number
  readonly lease_seconds: number
  readonly polling_interval: number
  readonly fanout_pubsub: boolean
}

interface Query extends UseQuery, TlsQuery {
  readonly master_name?: string
  readonly sentinel_password?: string
}

export const USE: Fields<UseQuery> = {
  global_keyprefix: text({ fallback: '' }),
  sep: text({ fallback: '\u0006\u0016' }),
  unacked_key: text({ fallback: 'unacked' }),
  unacked_index_key: text({ fallback: 'unacked_index' }),
  fanout_prefix: text({ fallback: '/{db}.' }),
  priority_steps: steps([0, 3, 6, 9]),
  visibility_timeout: numeric(decimal({ min: 1, fallback: 3_600 })),
  lease_seconds: numeric(decimal({ min: 1, fallback: 30 })),
  polling_interval: numeric(decimal({ min: 0.001, fallback: 1 })),
  fanout_pubsub: truth(flag(true)),
}

const QUERY: Fields<Query> = { master_name: text(), sentinel_password: text(), ...USE, ...TLS_QUERY }

/** Throws `ConfigError`. */
export function parseAddress(url: URL): Address {
  return readUrl('The Redis URL', url, QUERY, ({ query, host, username, password, path, refuse }) => {
    const sentinel = url.protocol === 'sentinel:'
    const { master_name: master = '' } = query
    if (!/^\d*$/.test(path)) refuse('path', 'the number of a database', show(path))
    if (sentinel && master === '') refuse('master_name', 'the name of the master that a sentinel: URL is to find', 'none')
    if (!sentinel && master !== '') refuse('master_name', 'a sentinel: URL with it', url.protocol)
    const database = Number(path)
    return {
      host: host || 'localhost',
      port: url.port === '' ? (sentinel ? 26_379 : 6379) : Number(url.port),
      ...(sentinel ? { master } : {}),
      sentinelPassword: query.sentinel_password,
      tls: url.protocol === 'rediss:' || url.protocol === 'valkeys:',
      database,
      username: username || undefined,
      password: password || undefined,
      names: {
        prefix: query.global_keyprefix,
        sep: query.sep,
        unackedKey: query.unacked_key,
        unackedIndexKey: query.unacked_index_key,
        fanoutPrefix: query.fanout_prefix.replaceAll('{db}', String(database)),
        prioritySteps: query.priority_steps,
      },
      visibilityMs: query.visibility_timeout * 1_000,
      leaseMs: query.lease_seconds * 1_000,
      pollMs: query.polling_interval * 1_000,
      fanoutPubsub: query.fanout_pubsub,
      files: tlsFilesIn(query),
    }
  })
}

/** The server as errors and warnings name it. */
export function describe({ host, port, tls, database }: Address): string {
  return `${tls ? 'rediss' : 'redis'}://${host.includes(':') ? `[${host}]` : host}:${port}/${database}`
}

function steps(fallback: readonly number[]): Field<readonly number[]> {
  const expected = 'rising numbers from 0 to 9 that begin with 0, such as 0,3,6,9'
  const read: Field<readonly number[]>['read'] = (value, path, problems) => {
    const found = String(value).split(',').map(Number)
    if (found.every((step, i) => Number.isInteger(step) && step <= 9 && (i === 0 ? step === 0 : step > found[i - 1]!))) return found
    problems.push({ path, expected, got: show(value) })
    return undefined
  }
  return { fallback, read }
}
