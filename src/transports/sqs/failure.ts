/** What the errors of SQS and SNS mean for us. Their names differ between SQS's two protocols, and between the two and the services they ask. */
import { ConnectionError, TopologyError, messageOf } from '../../core/errors.ts'

/**
 * `gone`: there is no such queue or topic. `denied`: we may not. `throttled`: not now. `receipt`: the message is not ours any more. `conflict`:
 * it exists with other attributes. `recent`: a queue of that name was deleted less than a minute ago. `refused`: it can never work as it is.
 */
export type FailureKind = 'gone' | 'denied' | 'throttled' | 'receipt' | 'conflict' | 'recent' | 'refused'

/** An answer of SQS or SNS that says no. The link lives on. */
export class SqsFailure extends Error {
  readonly kind: FailureKind
  /** As SQS calls it. */
  readonly code: string

  constructor(kind: FailureKind, code: string, message: string, cause: unknown) {
    super(message, { cause })
    this.kind = kind
    this.code = code
  }
}

const KINDS: Readonly<Record<FailureKind, RegExp>> = {
  gone: /QueueDoesNotExist|NonExistentQueue|^NotFound/,
  denied: /AccessDenied|AuthorizationError|UnauthorizedOperation|OptInRequired|Kms(?:Disabled|InvalidState|NotFound)/i,
  throttled: /Throttl|TooManyRequests|OverLimit|SlowDown|RequestLimitExceeded|PurgeQueueInProgress/,
  receipt: /ReceiptHandleIsInvalid|MessageNotInflight|InvalidReceiptHandle/,
  conflict: /QueueNameExists|QueueAlreadyExists/,
  recent: /QueueDeletedRecently/,
  refused: /^$/,
}

/** Trying again with the same keys cannot help. */
const LOGIN =
  /InvalidClientTokenId|UnrecognizedClient|SignatureDoesNotMatch|InvalidSignature|MissingAuthenticationToken|IncompleteSignature|InvalidAccessKeyId|InvalidSecurity|NotAuthorized/
/** Fresh ones may be on their way. */
const EXPIRED = /ExpiredToken|RequestExpired|TokenRefreshRequired|CredentialsProviderError/

/** `SqsFailure` for an answer that says no; `ConnectionError` where there was no answer, or nobody would get another. */
export function failureOf(error: unknown, where: string): SqsFailure | ConnectionError {
  const code = codeOf(error)
  const text = `${messageOf(error) || code}${messageOf(error).includes(code) ? '' : ` (${code})`}`
  if (LOGIN.test(code)) return new ConnectionError(`${where} refused our credentials: ${text}`, { cause: error, fatal: true })
  if (EXPIRED.test(code)) return new ConnectionError(`${where}: no valid credentials: ${text}`, { cause: error })
  const status = statusOf(error)
  const kind = (Object.keys(KINDS) as FailureKind[]).find((one) => KINDS[one].test(code))
  if (kind) return new SqsFailure(kind, code, text, error)
  if (status === undefined || status >= 500) return new ConnectionError(`${where} did not answer: ${hinted(error, text)}`, { cause: error })
  return new SqsFailure(status === 403 ? 'denied' : status === 429 ? 'throttled' : 'refused', code, text, error)
}

/** The kind of a single entry that failed in a batch. */
export function kindOf(code: string | undefined): FailureKind {
  return (Object.keys(KINDS) as FailureKind[]).find((kind) => KINDS[kind].test(code ?? '')) ?? 'refused'
}

const REPLY_CODES: Readonly<Record<Exclude<FailureKind, 'throttled'>, number>> = {
  gone: 404,
  denied: 403,
  receipt: 406,
  conflict: 406,
  recent: 405,
  refused: 406,
}

/** For an operation on a queue or a topic: `what` says which. Throttling ends the session, for the connection to come back after a pause. */
export function topologyError(what: string, error: unknown): Error {
  if (!(error instanceof SqsFailure)) return error as Error
  if (error.kind === 'throttled') return new ConnectionError(`SQS throttles us: ${what}: ${error.message}`, { cause: error })
  const reason = error.kind === 'recent' ? `${error.message}; SQS takes its name again after 60 seconds` : error.message
  return new TopologyError(`${what}: ${reason}`, REPLY_CODES[error.kind], { cause: error })
}

function codeOf(error: unknown): string {
  const of = (key: string): string => {
    const value: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, key) : undefined
    return typeof value === 'string' && value !== 'Error' ? value : ''
  }
  return of('Code') || of('name') || of('code')
}

function statusOf(error: unknown): number | undefined {
  const metadata: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, '$metadata') : undefined
  const status: unknown = typeof metadata === 'object' && metadata !== null ? Reflect.get(metadata, 'httpStatusCode') : undefined
  return typeof status === 'number' ? status : undefined
}

function hinted(error: unknown, text: string): string {
  return typeof error === 'object' && error !== null && Reflect.get(error, 'code') === 'ENOTFOUND' ? `${text}; is the region right?` : text
}
