/** `omnibus/redis`: Redis by a client that a program has already. */
import { systemClock } from '../../core/clock.ts'
import { ConfigError } from '../../core/errors.ts'
import { nearest, show } from '../../core/options.ts'
import type { Broker } from '../../core/transport.ts'
import { parseAddress, USE, type UseQuery } from './address.ts'
import type { Connector } from './client.ts'
import { createRedisTransport } from './index.ts'
import { fromIoRedis, type GivenIoCluster, type GivenIoRedis, type IoOptions } from './ioredis.ts'
import { fromNpmClient, type GivenNpmClient, type NpmOptions } from './npm-redis.ts'

/** A client of ioredis 5 or 6, for one server, Sentinels or a cluster, or of npm's `redis`, as its `createClient()` returns it. */
export type RedisClient = GivenIoRedis | GivenIoCluster | GivenNpmClient

/** The parameters of a `redis:` URL that do not say where the server is; docs/transports.md has them. */
export type RedisParameters = Partial<UseQuery>

/**
 * The Redis that a client leads to, for `connect()` and `createBus({ broker })`. Connections of our own are made as the client makes its
 * own: to the same server, by the same Sentinels, with the same TLS, credentials and database. The client itself is neither used nor
 * closed, and its `keyPrefix` is the `global_keyprefix`. Throws `ConfigError`.
 */
export function redisWith(client: RedisClient, parameters: RedisParameters = {}): Broker {
  const { connector, where, keyPrefix = '' } = seen(client)
  const problems = Object.entries(parameters).flatMap(([name, value]) => {
    const path = `parameters.${name}`
    if (!Object.hasOwn(USE, name)) {
      const near = nearest(name, Object.keys(USE))
      return [{ path, expected: near === undefined ? `one of ${Object.keys(USE).join(', ')}` : `"${near}"`, got: `"${name}"` }]
    }
    if (name !== 'global_keyprefix' || keyPrefix === '' || value === keyPrefix) return []
    return [{ path, expected: `${show(keyPrefix)}, the client's keyPrefix, or nothing`, got: show(value) }]
  })
  if (problems.length > 0) throw new ConfigError('redisWith()', problems)
  const { tls, host = 'localhost', port = 6379, database = 0 } = where
  const url = new URL(`${tls ? 'rediss' : 'redis'}://${host.includes(':') ? `[${host}]` : host}:${port}/${database}`)
  if (keyPrefix !== '') url.searchParams.set('global_keyprefix', keyPrefix)
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, String(value))
  parseAddress(url)
  return Object.freeze({ url: url.href, transport: createRedisTransport(systemClock, connector) })
}

interface Seen {
  readonly connector: Connector
  /** For people, and for who must not send a password in clear text. */
  readonly where: {
    readonly tls: boolean
    readonly host?: string | undefined
    readonly port?: number | undefined
    readonly database?: number | undefined
  }
  readonly keyPrefix?: string | undefined
}

function seen(client: RedisClient): Seen {
  if (typeof client !== 'object' || client === null) throw wrong(show(client))
  if ('status' in client && 'isCluster' in client) {
    if (client.status === 'end') throw wrong('one that was closed')
    return 'nodes' in client ? ofIoCluster(client) : ofIoRedis(client)
  }
  // Not shown: there may be a password in it.
  if (!('isOpen' in client) || typeof client.duplicate !== 'function') throw wrong('another object')
  // Those of a cluster and of Sentinels keep theirs to themselves.
  if (typeof client.options !== 'object') throw wrong('one of several servers, for which there are URLs')
  return ofNpm(client)
}

function ofIoRedis(client: GivenIoRedis): Seen {
  const { sentinels, tls, db, path, keyPrefix, ...own } = client.options as IoOptions
  const { host, port } = path ? {} : (sentinels?.[0] ?? own)
  return { connector: fromIoRedis(client), where: { tls: Boolean(tls), host, port, database: db }, keyPrefix }
}

function ofIoCluster(client: GivenIoCluster): Seen {
  const { redisOptions, keyPrefix = redisOptions?.keyPrefix } = client.options as IoOptions & { readonly redisOptions?: IoOptions }
  const { startupNodes } = client as { readonly startupNodes?: readonly unknown[] }
  return { connector: fromIoRedis(client), where: { tls: Boolean(redisOptions?.tls), ...nodeAt(startupNodes?.[0]) }, keyPrefix }
}

/** As ioredis takes a node: a port, a text, or an object. */
function nodeAt(node: unknown): { readonly host?: string; readonly port?: number } {
  if (typeof node === 'object' && node !== null) return node
  const text = String(node ?? '')
  const url = URL.parse(/^\d+$/.test(text) ? `redis://localhost:${text}` : text.includes('://') ? text : `redis://${text}`)
  return url === null ? {} : { host: url.hostname, port: Number(url.port || 6379) }
}

function ofNpm(client: GivenNpmClient): Seen {
  const { socket = {}, database, keyPrefix } = client.options as NpmOptions
  const { host, port, tls = false } = socket
  return { connector: fromNpmClient(client), where: { tls, host, port, database }, keyPrefix: keyPrefix?.toString() }
}

const wrong = (got: string): ConfigError =>
  new ConfigError('redisWith()', [
    { path: 'client', expected: "a client of ioredis, or one that createClient() of npm's redis returns", got },
  ])
