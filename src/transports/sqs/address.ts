/** What an `sqs:` URL says; its query parameters carry the names of Kombu's transport options. */
import { ConnectionError } from '../../core/errors.ts'
import { nearest, show } from '../../core/options.ts'

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
}

const PARAMETERS = [
  'region',
  'endpoint',
  'is_secure',
  'queue_name_prefix',
  'visibility_timeout',
  'lease_seconds',
  'wait_time_seconds',
  'polling_interval',
  'sqs_base64_encoding',
  'predefined_queues',
]

/** `sqs.eu-west-1.amazonaws.com`, its like in China, and the addresses of private links. */
const AMAZON = /^(?:.*\.)?sqs(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?$/

/** Throws a fatal `ConnectionError` that says what is wrong without repeating any secret. */
export function parseAddress(url: URL): Address {
  for (const name of url.searchParams.keys()) {
    if (PARAMETERS.includes(name)) continue
    const near = nearest(name, PARAMETERS)
    throw invalid(`the query parameter "${name}" is unknown; ${near ? `did you mean "${near}"?` : `known are ${PARAMETERS.join(', ')}`}`)
  }
  if (url.pathname !== '' && url.pathname !== '/')
    throw invalid(`it has a path, ${show(url.pathname)}; a queue is named where it is declared, and a prefix is given as queue_name_prefix`)
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const amazon = AMAZON.exec(host)
  const region = url.searchParams.get('region') ?? amazon?.[1]
  return {
    region: region === undefined ? undefined : checked(region, /^[a-z]{2,}(-[a-z]+)+-\d+$/, 'region', 'a name like eu-west-1'),
    endpoint: endpointOf(url, host, amazon !== null && !host.includes('vpce')),
    credentials: credentialsOf(url),
    queueNamePrefix: url.searchParams.get('queue_name_prefix') ?? '',
    visibilityTimeout: number(url, 'visibility_timeout', 1_800, 0, 43_200),
    lease: number(url, 'lease_seconds', 30, 2, 43_200),
    waitTime: number(url, 'wait_time_seconds', 10, 0, 20),
    pollingIntervalMs: number(url, 'polling_interval', 1, 0.01, 3_600, /^\d+(\.\d+)?$/) * 1_000,
    base64: flag(url, 'sqs_base64_encoding') ?? true,
    predefined: predefinedOf(url.searchParams.get('predefined_queues')),
  }
}

function endpointOf(url: URL, host: string, ofRegion: boolean): string | undefined {
  const given = url.searchParams.get('endpoint')
  const secure = flag(url, 'is_secure')
  if (given !== null) {
    const parsed = URL.canParse(given) ? new URL(given) : undefined
    if (parsed?.protocol === 'http:' || parsed?.protocol === 'https:') return given
    throw invalid(`the query parameter endpoint must be a URL like http://localhost:4566, got ${show(given)}`)
  }
  if (host === '' || (ofRegion && secure !== false)) return undefined
  const loopback = /^(?:localhost|.*\.localhost|127\.[\d.]+|::1)$/i.test(host)
  return `${(secure ?? !loopback) ? 'https' : 'http'}://${url.host}`
}

function credentialsOf(url: URL): Address['credentials'] {
  if (url.username === '' && url.password === '') return undefined
  if (url.username === '' || url.password === '')
    throw invalid('it has a key without its secret; give both, as sqs://KEY:SECRET@…, or neither')
  return { accessKeyId: decode(url.username, 'key'), secretAccessKey: decode(url.password, 'secret') }
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid(`the ${what} is not percent-encoded correctly; "/" is written %2F, "+" %2B and "%" %25`)
  }
}

/** Kombu's option as JSON, `{"orders": {"url": "https://…"}}`, or shorter, `{"orders": "https://…"}`. */
function predefinedOf(text: string | null): Address['predefined'] {
  if (text === null) return undefined
  const expected = `the query parameter predefined_queues must be JSON like {"orders": {"url": "https://sqs.…/orders"}}`
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    throw invalid(`${expected}, got ${show(text)}`)
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw invalid(`${expected}, got ${show(parsed)}`)
  return new Map(
    Object.entries(parsed).map(([name, value]: [string, unknown]) => {
      const queueUrl: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'url') : value
      if (typeof queueUrl !== 'string' || !URL.canParse(queueUrl))
        throw invalid(`${expected}; the URL of ${show(name)} is ${show(queueUrl)}`)
      if (queueUrl.endsWith('.fifo') !== name.endsWith('.fifo'))
        throw invalid(`in predefined_queues ${show(name)} and its URL must both end with .fifo, or neither`)
      return [name, queueUrl] as const
    }),
  )
}

function number(url: URL, name: string, fallback: number, min: number, max: number, form = /^\d+$/): number {
  const text = url.searchParams.get(name)
  if (text === null) return fallback
  const value = Number(text)
  if (form.test(text) && value >= min && value <= max) return value
  throw invalid(
    `the query parameter ${name} must be a ${form.source.includes('.') ? '' : 'whole '}number from ${min} to ${max}, got ${show(text)}`,
  )
}

function flag(url: URL, name: string): boolean | undefined {
  const text = url.searchParams.get(name)
  if (text === null) return undefined
  if (/^(?:true|1)$/i.test(text)) return true
  if (/^(?:false|0)$/i.test(text)) return false
  throw invalid(`the query parameter ${name} must be true or false, got ${show(text)}`)
}

function checked(text: string, form: RegExp, name: string, expected: string): string {
  if (form.test(text)) return text
  throw invalid(`the ${name} must be ${expected}, got ${show(text)}`)
}

function invalid(problem: string): ConnectionError {
  return new ConnectionError(`The SQS URL, sqs://KEY:SECRET@sqs.REGION.amazonaws.com, cannot be used: ${problem}`, { fatal: true })
}
