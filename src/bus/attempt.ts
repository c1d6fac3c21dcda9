/** One attempt at a message: its handler with a context, a transaction and a time limit, and what its end means for the message. */
import { sleep } from '../core/clock.ts'
import type { Delivery } from '../core/delivery.ts'
import { CodecError, HandlerError, ValidationError } from '../core/errors.ts'
import type { ConsumerDefinition, Handler, HandlerContext } from './consume.ts'
import { derivedId, idOf } from './envelope.ts'
import type { Event } from './event.ts'
import type { Inbox, InboxKey } from './inbox.ts'
import { bounds, type Limit } from './limits.ts'
import { Final, Reject, RetryAfter, Transient } from './outcome.ts'
import type { PipelineOptions } from './pipeline.ts'
import { roundUpMs } from './retry.ts'

export type Verdict =
  | { readonly done: true; readonly duplicate: boolean }
  | { readonly done: false; readonly error: unknown; readonly final: boolean; readonly afterMs?: number }

/** The message is another's business from here on. */
export const refused = (error: Error): Verdict => ({ done: false, error, final: true })

/** Between tries of what fails for a while. Milliseconds. */
const [MIN_PAUSE_MS, MAX_PAUSE_MS] = [100, 30_000]

export interface Attempt {
  readonly options: PipelineOptions
  readonly handler: Handler<never>
  readonly delivery: Delivery
  /** From 1. */
  readonly attempt: number
  /** Where the handler's effects are to happen once. */
  readonly once: { readonly inbox: Inbox<unknown>; readonly key: InboxKey } | undefined
  /** Aborts when no further try is to begin. */
  readonly closing: AbortSignal
}

/** Resolves when the handler has ended, for good or bad, or its time is over; what is transient is tried again until then, or until the close. */
export async function attempt(given: Attempt): Promise<Verdict> {
  const { options, delivery, attempt: nth, closing } = given
  const { clock, onOutcome } = options
  for (let failures = 0; ; failures++) {
    try {
      return { done: true, duplicate: (await handle(given)) === 'duplicate' }
    } catch (error) {
      if (!(error instanceof Transient) || closing.aborted) return failed(error)
      onOutcome({ type: 'kept', error }, delivery, nth)
      const pause = Math.min(MAX_PAUSE_MS, MIN_PAUSE_MS * 2 ** Math.min(failures, 20))
      // Not in step with the transactions it has met.
      await sleep(pause / 2 + Math.random() * (pause / 2), { clock, signal: closing }).catch(() => undefined)
      if (closing.aborted) return failed(error)
    }
  }
}

function failed(error: unknown): Verdict {
  // Bad data stays bad however often it is tried.
  const final = error instanceof Reject || error instanceof Final || error instanceof CodecError || error instanceof ValidationError
  return { done: false, error, final, ...(error instanceof RetryAfter && { afterMs: roundUpMs(error.ms) }) }
}

async function handle({ options, handler, delivery, attempt: nth, once }: Attempt): Promise<'handled' | 'duplicate'> {
  const { signal, within } = bounds(limitsOf(options.definition), options)
  const run = (transaction: unknown): Promise<unknown> => {
    // consume() has seen to it that the handlers and the inbox go together.
    const context = contextFor(options, delivery, { attempt: nth, signal, transaction: transaction as never })
    return within(() => handler.run(delivery, context, options))
  }
  if (once === undefined) {
    await run(undefined)
    return 'handled'
  }
  let finished = false
  const work = async (transaction: unknown): Promise<void> => {
    await run(transaction)
    finished = true
  }
  const outcome = await once.inbox.once(once.key, work, signal)
  if (outcome !== 'duplicate' && !finished)
    throw new HandlerError('The inbox has committed before the handler had ended: it has to await it')
  return outcome
}

function contextFor<Given extends Pick<HandlerContext, 'attempt' | 'signal' | 'transaction'>>(
  options: PipelineOptions,
  delivery: Delivery,
  given: Given,
): Given & Pick<HandlerContext, 'publish'> {
  const published = new Map<string, number>()
  return {
    ...given,
    publish: (event, data, more = {}) => {
      const nth = published.get(event.type) ?? 0
      published.set(event.type, nth + 1)
      const id = idOf(delivery)
      return options.publish(event as Event<never, unknown>, data, {
        id: derivedId(delivery.queue, id, event.type, nth),
        correlationId: delivery.properties.correlationId ?? id,
        ...more,
      })
    },
  }
}

function limitsOf({ policy: { timeoutMs: ms } }: ConsumerDefinition): readonly Limit[] {
  return ms === undefined ? [] : [{ ms, hard: true, error: () => new HandlerError(`The handler took longer than ${ms} ms`) }]
}
