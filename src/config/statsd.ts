/** Where metrics go: `statsd`. */
import { type Field, object, record, text } from '../core/options.ts'
import { normalAddress } from './address.ts'

export interface StatsdConfig {
  /** `host` or `host:port`. @default '127.0.0.1:8125' */
  host?: string
  /** Of the names: `PREFIX.requests`. @default 'gunicorn', so that what shows Gunicorn's metrics shows these */
  prefix?: string
  /** Added to each metric, in the way of DogStatsD. @default none, which every statsd understands */
  tags?: Readonly<Record<string, string>>
}

/** `host` is `host:port`. */
export type ResolvedStatsd = Readonly<Required<StatsdConfig>>

/** Of statsd. */
const PORT = 8125

/** In full, with IPv6 in brackets. */
function inFull(host: string): string | undefined {
  if (host === '' || host.startsWith(':') || host.startsWith('unix:')) return undefined
  return normalAddress(host, '/') ?? normalAddress(`${host}:${PORT}`, '/')
}

const tag = text({ expected: 'a text without |, comma, # and space', test: (value) => /^[^|,#\s]+$/.test(value) })

export const statsdField: Field<StatsdConfig> = object<StatsdConfig>({
  host: text({ expected: `host or host:port, such as 127.0.0.1:${PORT}`, test: (value) => inFull(value) !== undefined }),
  prefix: text({ expected: 'a name such as gunicorn or shop.gunicorn', test: (value) => /^[\w.-]*\w$/.test(value) }),
  tags: record(tag),
})

/** What was read, with its defaults. */
export function resolveStatsd(given: StatsdConfig): ResolvedStatsd {
  const { host = '127.0.0.1', prefix = 'gunicorn', tags = {} } = given
  return { host: inFull(host) ?? host, prefix, tags }
}
