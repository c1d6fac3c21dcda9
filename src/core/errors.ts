/**
 * The error taxonomy: one level below `OmnibusError`, each class with a stable `code`.
 * Branch on the class or the code, never on the text. Messages never hold a secret: URLs pass `redactUrl` first.
 */

/** One thing wrong with an option, a config file or a value. */
export interface Problem {
  /** Where, e.g. `web.workers`. */
  readonly path: string
  /** What would have been right, e.g. `a whole number from 1`. */
  readonly expected: string
  /** What was there, shortened. */
  readonly got: string
}

// Branding through the symbol registry keeps `instanceof` true when two copies of the package are installed.
const BRAND = Symbol.for('omnibus.error')

export abstract class OmnibusError extends Error {
  abstract readonly code: string

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
    Object.defineProperty(this, BRAND, { value: this.name })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== 'object' || value === null || !(BRAND in value)) return false
    return this === OmnibusError || Reflect.get(value, BRAND) === this.name || this.prototype.isPrototypeOf(value)
  }
}

/** Options or a config file that cannot work; lists every problem at once. Raised before anything is started. */
export class ConfigError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_CONFIG'
  readonly problems: readonly Problem[]

  constructor(subject: string, problems: readonly Problem[], options?: { cause?: unknown }) {
    const lines = problems.map((p) => `  ${p.path}: expected ${p.expected}, got ${p.got}`)
    super(`${subject} cannot be used:\n${lines.join('\n')}`, options)
    this.problems = problems
  }
}

/** An optional peer dependency is not installed; the message holds the command that installs it. */
export class MissingPeerError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_MISSING_PEER'

  constructor(peer: string, neededFor: string, options?: { cause?: unknown }) {
    super(`${neededFor} needs the package "${peer}". Install it with: npm install ${peer}`, options)
  }
}

/** The broker behind this transport cannot do what was asked. Raised when declared or subscribed, never later. */
export class UnsupportedError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_UNSUPPORTED'
}

/**
 * The broker cannot be reached, refused us, or the link died. `Connection` is already retrying unless `fatal`.
 */
export class ConnectionError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_CONNECTION'
  /** True when trying again with the same settings cannot help (wrong password, unknown vhost). */
  readonly fatal: boolean
  /** True when the host had taken the link, and it broke afterwards without a word: the host is there. */
  readonly cut: boolean

  constructor(message: string, options?: { cause?: unknown; fatal?: boolean; cut?: boolean }) {
    super(message, options)
    this.fatal = options?.fatal ?? false
    this.cut = options?.cut ?? false
  }
}

/**
 * A topology operation the broker refused, as AMQP's channel errors are: what exists has other arguments (406),
 * does not exist (404), is in exclusive use (405) or is forbidden (403).
 */
export class TopologyError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_TOPOLOGY'
  readonly replyCode: number
  /** With 406, the argument that differs from what exists, e.g. `x-max-length`, where the broker names it. */
  readonly argument: string | undefined

  constructor(message: string, replyCode: number, options?: { cause?: unknown; argument?: string | undefined }) {
    super(message, options)
    this.replyCode = replyCode
    this.argument = options?.argument
  }
}

export type PublishFailure = 'unroutable' | 'nacked' | 'timeout' | 'aborted' | 'closed' | 'refused'

/** A message the broker has not confirmed, and why. With `timeout` it may still have been taken. */
export class PublishError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_PUBLISH'
  readonly reason: PublishFailure
  readonly messageId: string | undefined

  constructor(message: string, reason: PublishFailure, options?: { cause?: unknown; messageId?: string | undefined }) {
    super(message, options)
    this.reason = reason
    this.messageId = options?.messageId
  }
}

/** A request the broker has taken, and whose answer did not come. It may have been handled. */
export class RequestError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_REQUEST'
  /** `lost`: the link the answer would have come on broke. */
  readonly reason: 'timeout' | 'lost' | 'aborted'

  constructor(message: string, reason: RequestError['reason'], options?: { cause?: unknown }) {
    super(message, options)
    this.reason = reason
  }
}

/** What a task's worker told of its failure: for a worker in Python, in Python's words. */
export interface TaskFailure {
  /** Of the exception, such as `ValueError`. */
  readonly type: string
  /** Where its class is, such as `builtins`. */
  readonly module: string | undefined
  /** What it was made with. */
  readonly args: readonly unknown[]
  /** As text; empty where none was told. */
  readonly traceback: string
  /** `FAILURE`, or `REVOKED` for one that had expired or was revoked. */
  readonly status: string
}

/** A task that was called and did not succeed. */
export class TaskError extends OmnibusError implements TaskFailure {
  readonly code = 'ERR_OMNIBUS_TASK'
  readonly type: string
  readonly module: string | undefined
  readonly args: readonly unknown[]
  readonly traceback: string
  readonly status: string

  constructor(message: string, { type, module, args, traceback, status }: TaskFailure) {
    super(message)
    this.type = type
    this.module = module
    this.args = args
    this.traceback = traceback
    this.status = status
  }
}

/** A body that cannot be encoded, or is refused or cannot be read on arrival. Never retried: it goes to the dead letters. */
export class CodecError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_CODEC'
}

/** Data that does not fit its schema. */
export class ValidationError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_VALIDATION'
  readonly problems: readonly Problem[]

  constructor(subject: string, problems: readonly Problem[]) {
    super(`${subject} does not fit its schema: ${problems.map((p) => `${p.path || '(whole)'}: ${p.expected}`).join('; ')}`)
    this.problems = problems
  }
}

/** A message handler threw or ran out of time; `cause` is what it threw. */
export class HandlerError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_HANDLER'
}

/** Used after `close()`. */
export class ClosedError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_CLOSED'
}

/** A supervised unit that cannot start, crashed for good, or an entry module that cannot be used. */
export class WorkerError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_WORKER'
}

/** Bytes that break the protocol or exceed a limit; the link they came on cannot be used any more. */
export class ProtocolError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_PROTOCOL'
  /** The AMQP reply code to close with, e.g. 501 frame error. */
  readonly replyCode: number

  constructor(message: string, replyCode: number, options?: { cause?: unknown }) {
    super(message, options)
    this.replyCode = replyCode
  }
}

/** Any thrown value as one readable line, without a stack. What is no error may be anything, even what nobody can write. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message
  if (typeof error !== 'object' || error === null) return String(error)
  try {
    return `a value that is no error: ${JSON.stringify(error).slice(0, 200)}`
  } catch {
    return 'a value that is no error, and cannot be shown'
  }
}
