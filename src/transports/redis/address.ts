/** What a `redis:` or `valkey:` URL says. Query parameters are Kombu's transport options, by their names. */
import { ConnectionError } from '../../core/errors.ts'
import { nearest } from '../../core/options.ts'
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
  readonly files: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

const PARAMETERS = [
  'master_name',
  'sentinel_password',
  'global_keyprefix',
  'sep',
  'unacked_key',
  'unacked_index_key',
  'fanout_prefix',
  'priority_steps',
  'visibility_timeout',
  'lease_seconds',
  'polling_interval',
  'fanout_pubsub',
  'cacertfile',
  'certfile',
  'keyfile',
]

/** Throws a fatal `ConnectionError` that says what is wrong without repeating any secret. */
export function parseAddress(url: URL): Address {
  for (const name of url.searchParams.keys()) {
    if (PARAMETERS.includes(name)) continue
    const near = nearest(name, PARAMETERS)
    throw invalid(`the query parameter "${name}" is unknown; ${near ? `did you mean "${near}"?` : `known are ${PARAMETERS.join(', ')}`}`)
  }
  const text = (name: string, fallback: string): string => url.searchParams.get(name) ?? fallback
  const host = decode(url.hostname, 'host').replace(/^\[(.*)\]$/, '$1')
  const database = decode(url.pathname.replace(/^\//, ''), 'database')
  if (!/^\d*$/.test(database)) throw invalid(`the path is the number of a database, got "${database}"`)
  const sentinel = url.protocol === 'sentinel:'
  const master = text('master_name', '')
  if (sentinel === (master === '')) throw invalid('master_name names the master of a sentinel: URL, and belongs to no other')
  const prefix = text('global_keyprefix', '')
  const file = (name: string, key: string): object => (url.searchParams.has(name) ? { [key]: text(name, '') } : {})
  return {
    host: host === '' ? 'localhost' : host,
    port: url.port === '' ? (sentinel ? 26_379 : 6379) : Number(url.port),
    ...(sentinel ? { master } : {}),
    sentinelPassword: url.searchParams.get('sentinel_password') ?? undefined,
    tls: url.protocol === 'rediss:' || url.protocol === 'valkeys:',
    database: Number(database),
    username: url.username === '' ? undefined : decode(url.username, 'user name'),
    password: url.password === '' ? undefined : decode(url.password, 'password'),
    names: {
      prefix,
      sep: text('sep', '\u0006\u0016'),
      unackedKey: text('unacked_key', 'unacked'),
      unackedIndexKey: text('unacked_index_key', 'unacked_index'),
      fanoutPrefix: text('fanout_prefix', '/{db}.').replaceAll('{db}', String(Number(database))),
      prioritySteps: stepsOf(text('priority_steps', '0,3,6,9')),
    },
    visibilityMs: number(url, 'visibility_timeout', 1, 3_600) * 1_000,
    leaseMs: number(url, 'lease_seconds', 1, 30) * 1_000,
    pollMs: number(url, 'polling_interval', 0.001, 1) * 1_000,
    fanoutPubsub: flag(url, 'fanout_pubsub', true),
    files: { ...file('cacertfile', 'ca'), ...file('certfile', 'cert'), ...file('keyfile', 'key') },
  }
}

/** The server as errors and warnings name it. */
export function describe({ host, port, tls, database }: Address): string {
  return `${tls ? 'rediss' : 'redis'}://${host.includes(':') ? `[${host}]` : host}:${port}/${database}`
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid(`the ${what} is not percent-encoded correctly; a "%" itself is written %25`)
  }
}

function number(url: URL, name: string, min: number, fallback: number): number {
  const text = url.searchParams.get(name)
  if (text === null) return fallback
  const value = Number(text)
  if (/^\d+(\.\d+)?$/.test(text) && value >= min) return value
  throw invalid(`the query parameter ${name} must be a number from ${min}, got "${text}"`)
}

function flag(url: URL, name: string, fallback: boolean): boolean {
  const text = url.searchParams.get(name)
  if (text === null) return fallback
  if (text === 'true' || text === 'false') return text === 'true'
  throw invalid(`the query parameter ${name} must be true or false, got "${text}"`)
}

function stepsOf(text: string): number[] {
  const steps = text.split(',').map(Number)
  const rising = steps.every((step, i) => Number.isInteger(step) && step >= 0 && step <= 9 && (i === 0 ? step === 0 : step > steps[i - 1]!))
  if (rising) return steps
  throw invalid(`the query parameter priority_steps must be rising numbers from 0 to 9 that begin with 0, such as 0,3,6,9, got "${text}"`)
}

function invalid(problem: string): ConnectionError {
  return new ConnectionError(`The Redis URL cannot be used: ${problem}`, { fatal: true })
}
