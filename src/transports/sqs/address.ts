/** What an `sqs:` URL says; its query parameters carry the names of Kombu's transport options. */
import type { Problem } from '../../core/errors.ts'
import { decimal, type Field, type Fields, flag, show, text, whole } from '../../core/options.ts'
import { numeric, readUrl, truth } from '../../core/url-options.ts'

export interface Address {
  /** Undefined leaves it to the SDK: `AWS_REGION`, then its shared files. */
  readonly region: string | undefined
  /** Undefined is the region's own. */
  readonly endpoint: string | undefined
  /** From the URL's user and password. Undefined leaves it to the SDK: environment, shared files, the machine's role. */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined
  readonly queueNamePrefix: string
  /** Of queues that are created, for consumers that renew nothing, as Kombu's. Seconds. */
  readonly visibilityTimeout: number
  /** How long a message is ours before it must be renewed, and so how soon another has what a dead process held. Seconds. */
  readonly lease: number
  /** Of a long poll; 0 polls shortly. Seconds. */
  readonly waitTime: number
  /** Between short polls that found nothing. Milliseconds. */
  readonly pollingIntervalMs: number
  /** The envelope once more in base64, as Kombu writes it unless told otherwise. */
  readonly base64: boolean
  /** Name → URL of the only queues there are; then none is created, deleted or listed. */
  readonly predefined: ReadonlyMap<string, string> | undefined
  /** How fanout exchanges are topics of SNS; undefined where they are bindings like all others. */
  readonly sns: SnsAddress | undefined
}

export interface SnsAddress {
  /** Undefined is the region's own. */
  readonly endpoint: string | undefined
  /** Exchange → ARN of the only topics there are; then none is made or deleted. */
  readonly predefined: ReadonlyMap<string, string> | undefined
}

interface Query {
  readonly region?: string
  readonly endpoint?: string
  readonly is_secure?: boolean
  readonly queue_name_prefix: string
  readonly visibility_timeout: number
  readonly lease_seconds: number
  readonly wait_time_seconds: number
  readonly polling_interval: number
  readonly sqs_base64_encoding: boolean
  readonly predefined_queues?: ReadonlyMap<string, string>
  readonly supports_fanout: boolean
  readonly predefined_exchanges?: ReadonlyMap<string, string>
}

const QUERY: Fields<Query> = {
  region: text({ expected: 'a name like eu-west-1', test: (name) => /^[a-z]{2,}(-[a-z]+)+-\d+$/.test(name) }),
  endpoint: text({ expected: 'a URL like http://localhost:4566', test: (given) => /^https?:\/\//.test(given) && URL.canParse(given) }),
  is_secure: truth(flag()),
  queue_name_prefix: text({ fallback: '' }),
  visibility_timeout: numeric(whole({ max: 43_200, fallback: 1_800 })),
  lease_seconds: numeric(whole({ min: 2, max: 43_200, fallback: 30 })),
  wait_time_seconds: numeric(whole({ max: 20, fallback: 10 })),
  polling_interval: numeric(decimal({ min: 0.01, max: 3_600, fallback: 1 })),
  sqs_base64_encoding: truth(flag(true)),
  predefined_queues: predefined('url', '{"orders": {"url": "https://sqs.…/orders"}}', (given) => URL.canParse(given)),
  supports_fanout: truth(flag(false)),
  predefined_exchanges: predefined('arn', '{"news": {"arn": "arn:aws:sns:…:news"}}', (given) => given.startsWith('arn:')),
}

/** `sqs.eu-west-1.amazonaws.com`, its like in China, and the addresses of private links. */
const AMAZON = /^(?:.*\.)?sqs(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?$/

/** Throws `ConfigError`. */
export function parseAddress(url: URL): Address {
  return readUrl('The SQS URL', url, QUERY, ({ query, host, username, password, path, refuse }) => {
    if (path !== '')
      refuse('path', 'none, since a queue is named where it is declared, and a prefix is given as queue_name_prefix', show(path))
    if ((username === '') !== (password === ''))
      refuse('user name', 'a key with its secret, as sqs://KEY:SECRET@…, or neither', username === '' ? 'a secret alone' : 'a key alone')
    if (query.predefined_exchanges && !query.supports_fanout)
      refuse('predefined_exchanges', 'supports_fanout=true beside it, since they are topics of SNS', 'it alone')
    const amazon = AMAZON.exec(host)
    const isRegions = amazon !== null && !host.includes('vpce')
    const endpoint = query.endpoint ?? endpointOf(url, host, { isRegions, secure: query.is_secure })
    return {
      region: query.region ?? amazon?.[1],
      endpoint,
      credentials: username === '' ? undefined : { accessKeyId: username, secretAccessKey: password },
      queueNamePrefix: query.queue_name_prefix,
      visibilityTimeout: query.visibility_timeout,
      lease: query.lease_seconds,
      waitTime: query.wait_time_seconds,
      pollingIntervalMs: query.polling_interval * 1_000,
      base64: query.sqs_base64_encoding,
      predefined: query.predefined_queues,
      sns: query.supports_fanout ? { endpoint: snsEndpointOf(endpoint), predefined: query.predefined_exchanges } : undefined,
    }
  })
}

/** Undefined is the region's own. */
function endpointOf(
  url: URL,
  host: string,
  { isRegions, secure }: { isRegions: boolean; secure: boolean | undefined },
): string | undefined {
  if (host === '' || (isRegions && secure !== false)) return undefined
  const loopback = /^(?:localhost|.*\.localhost|127\.[\d.]+|::1)$/i.test(host)
  return `${(secure ?? !loopback) ? 'https' : 'http'}://${url.host}`
}

/** An emulator of SQS is one of SNS, too; Amazon has a host for each. */
const snsEndpointOf = (endpoint: string | undefined): string | undefined =>
  endpoint !== undefined && AMAZON.test(new URL(endpoint).hostname) ? undefined : endpoint

/** Kombu's option as JSON, `{"orders": {"url": "https://…"}}`, or shorter, `{"orders": "https://…"}`. */
function predefined(field: string, example: string, fits: (given: string) => boolean): Field<ReadonlyMap<string, string>> {
  const read = (given: unknown, path: string, problems: Problem[]): ReadonlyMap<string, string> => {
    const found = new Map<string, string>()
    const refuse = (got: string): void => void problems.push({ path, expected: `JSON like ${example}`, got })
    const parsed = parsedJson(String(given))
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) refuse(show(given))
    else
      for (const [name, value] of Object.entries(parsed) as [string, unknown][]) {
        const place: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, field) : value
        if (typeof place !== 'string' || !fits(place)) refuse(`${show(place)} as the ${field} of ${show(name)}`)
        else if (place.endsWith('.fifo') !== name.endsWith('.fifo'))
          refuse(`${show(name)} and its ${field}, of which one alone ends with .fifo`)
        else found.set(name, place)
      }
    return found
  }
  return { read }
}

function parsedJson(given: string): unknown {
  try {
    return JSON.parse(given)
  } catch {
    return undefined
  }
}
