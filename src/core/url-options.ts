/** Reading a broker's URL as other options are read: its query by a table of fields, every problem at once, no secret in any. */
import { ConfigError, type Problem } from './errors.ts'
import { type Field, type Fields, object, text } from './options.ts'

/** A URL's parts, decoded; each is '' where it has none. */
export interface UrlParts<Query> {
  readonly query: Query
  /** Without the brackets of IPv6. */
  readonly host: string
  readonly username: string
  readonly password: string
  /** Without its first slash. */
  readonly path: string
  /** Reports what is wrong; `got` must hold no secret. */
  readonly refuse: (path: string, expected: string, got: string) => void
}

/** Throws `ConfigError` naming `subject`, with every problem of the query, or else all that `build` refuses. */
export function readUrl<Query extends object, Result>(
  subject: string,
  url: URL,
  fields: Fields<Query>,
  build: (parts: UrlParts<Query>) => Result,
): Result {
  const problems: Problem[] = []
  const refuse = (path: string, expected: string, got: string): void => void problems.push({ path, expected, got })
  const decoded = (name: string, encoded: string): string => {
    try {
      return decodeURIComponent(encoded)
    } catch {
      refuse(name, 'percent-encoding, in which "%" is %25, "/" %2F and "+" %2B', 'something else')
      return ''
    }
  }
  const query = object(fields).read(Object.fromEntries(url.searchParams), '', problems) as Query
  const parts = {
    host: decoded('host', url.hostname).replace(/^\[(.*)\]$/, '$1'),
    username: decoded('user name', url.username),
    password: decoded('password', url.password),
    path: decoded('path', url.pathname.replace(/^\//, '')),
  }
  const result = problems.length === 0 ? build({ query, ...parts, refuse }) : undefined
  if (problems.length > 0) throw new ConfigError(subject, problems)
  return result as Result
}

/** A number as a query has it: digits, and a fraction where the field takes one. */
export const numeric = (field: Field<number>): Field<number> =>
  fromText(field, (given) => (/^\d+(\.\d+)?$/.test(given) ? Number(given) : given))

/** As Python writes it, too: `True`. */
export const truth = (field: Field<boolean>): Field<boolean> => fromText(field, (given) => TRUTHS.get(given.toLowerCase()) ?? given)

const TRUTHS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false],
])

/** PEM files, named as RabbitMQ's URLs name them. */
export interface TlsFiles {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

export interface TlsQuery {
  readonly cacertfile?: string
  readonly certfile?: string
  readonly keyfile?: string
}

export const TLS_QUERY: Fields<TlsQuery> = { cacertfile: text(), certfile: text(), keyfile: text() }

export function tlsFilesIn({ cacertfile: ca, certfile: cert, keyfile: key }: TlsQuery): TlsFiles {
  return { ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) }
}

function fromText<T>(field: Field<T>, parse: (given: string) => unknown): Field<T> {
  return { ...field, read: (value, path, problems) => field.read(parse(String(value)), path, problems) }
}
