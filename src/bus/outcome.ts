/** What a handler throws to say more than "try again by the policy". */

/** This message can never be handled: to the dead letters now, without a retry. */
export class Reject extends Error {
  override readonly name = 'Reject'
}

/** Try again, but not before `ms` milliseconds; rounded up to a step so that few wait queues are needed. */
export class RetryAfter extends Error {
  override readonly name = 'RetryAfter'
  readonly ms: number

  constructor(ms: number, reason = 'asked to be retried later') {
    super(reason)
    if (!Number.isFinite(ms) || ms < 0) throw new RangeError(`RetryAfter: expected milliseconds from 0, got ${ms}`)
    this.ms = ms
  }
}

/**
 * Nothing is wrong with the message, but with what handling it needs, such as a database that is away: it is held and tried again here, after
 * pauses that grow, and loses no attempt.
 */
export class Transient extends Error {
  override readonly name = 'Transient'
}

/** Not its time yet: it comes again then, and has lost no attempt. @internal */
export class Postpone extends Error {
  override readonly name = 'Postpone'
  readonly ms: number

  constructor(ms: number) {
    super(`not before ${Math.ceil(ms)} ms from now`)
    this.ms = ms
  }
}

/** Not wanted any more: it goes, without a trace among the dead letters. @internal */
export class Drop extends Error {
  override readonly name = 'Drop'
}

/** Failed for good, as trying again would not mend it. @internal */
export class Final extends Error {
  override readonly name: string
  /** Where Python has an exception of this name. */
  readonly module: string | undefined

  constructor(name: string, message: string, options?: ErrorOptions & { readonly module?: string }) {
    super(message, options)
    this.name = name
    this.module = options?.module
  }
}
