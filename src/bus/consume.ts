/** What a consumer is, as plain data: a queue, a policy, and a handler per event. Running it is the bus's business. */
import type { Compression } from '../core/codec-compression.ts'
import type { Delivery } from '../core/delivery.ts'
import { type BindingSource, type Queue, isQueue, queue } from '../core/entities.ts'
import { ConfigError, type Problem } from '../core/errors.ts'
import type { Headers } from '../core/message.ts'
import { show } from '../core/options.ts'
import { type HandleTask, serveTask, type TaskWays } from './celery/serve.ts'
import { isTask, type Task } from './celery/task.ts'
import { messageFrom } from './envelope.ts'
import { type Event, validate } from './event.ts'
import { type ConsumePolicy, type ResolvedPolicy, readPolicy } from './policy.ts'
import { exponential, noRetry } from './retry.ts'

/** An event as a handler gets it. */
export interface Message<Data = unknown> {
  /** The same for every delivery and every retry; what effects are deduplicated by. */
  readonly id: string
  /** The event's type. */
  readonly type: string
  readonly time: Date
  readonly data: Data
  readonly headers: Headers
  readonly correlationId?: string
}

export interface PublishEventOptions {
  /** @default a random UUID; in a handler one derived from the handled message's id, so that a retry repeats it */
  readonly id?: string
  /** @default the handled message's, else its id */
  readonly correlationId?: string
  readonly headers?: Headers
  /** 0 to 255. */
  readonly priority?: number
  /**
   * Handled no sooner than this after it is published. It waits with each consumer of Omnibus; others get it at once. Milliseconds. @default 0
   */
  readonly delayMs?: number
  /** Milliseconds in a queue before it is dropped or dead-lettered. */
  readonly expirationMs?: number
  /** Compresses the body, as Kombu does. @default none */
  readonly compression?: Compression
  /** @default 10_000 */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

export interface Published {
  readonly id: string
  /** False when no queue listens to this event. */
  readonly routed: boolean
}

/** `Transaction` is what the consumer's inbox gives. */
export interface HandlerContext<Transaction = unknown> {
  /** Aborted when the handler has to end: its time is over, or the process's stop budget is. */
  readonly signal: AbortSignal
  /** 1 for the first time this message is handled; counts thrown errors. */
  readonly attempt: number
  /** The inbox's: what is written through it happens once. Undefined in a consumer without an inbox. */
  readonly transaction: Transaction
  publish<Input>(event: Event<Input, unknown>, data: NoInfer<Input>, options?: PublishEventOptions): Promise<Published>
}

export type Handle<Data, Transaction = unknown> = (message: Message<Data>, context: HandlerContext<Transaction>) => unknown

/** What `on()` makes. */
export interface Handler<Transaction = unknown> {
  /** Which messages it is for: those of this type. */
  readonly type: string
  /** Where they come from, for a queue of one's own; absent where that is not known. */
  readonly source?: BindingSource
  /** Reads a delivery and handles it. What it throws says what becomes of the message. */
  readonly run: (delivery: Delivery, context: HandlerContext<Transaction>, ways: TaskWays) => Promise<unknown>
}

/** The type of a handler for all messages that no other is for. */
export const ANY_TYPE = '*'

/** What `consume()` and `broadcast()` make, and what a consumer's entry module exports. */
export interface ConsumerDefinition {
  readonly kind: 'consumer'
  readonly queue: Queue
  readonly policy: ResolvedPolicy
  /** Each takes the transactions of the policy's inbox. */
  readonly handlers: readonly Handler<never>[]
  /** Each instance has a queue of its own, and gets every message. */
  readonly broadcast: boolean
}

/** One consumer at a time may be on this queue, so that a successor can only begin when its predecessor has gone. */
export const isSingle = ({ queue: { name, exclusive, arguments: given } }: ConsumerDefinition): boolean =>
  given['x-single-active-consumer'] === true || (exclusive && name !== '')

export const isConsumerDefinition = (value: unknown): value is ConsumerDefinition =>
  typeof value === 'object' && value !== null && Reflect.get(value, 'kind') === 'consumer' && isQueue(Reflect.get(value, 'queue'))

/** Handles one event, or the calls of one task, whose result is what it returns. Throws `ConfigError`. */
export function on<Args extends readonly unknown[], Result, Transaction = unknown>(
  called: Task<Args, Result>,
  handle: HandleTask<Args, Result, Transaction>,
): Handler<Transaction>
export function on<Input, Output, Transaction = unknown>(
  event: Event<Input, Output>,
  handle: Handle<Output, Transaction>,
): Handler<Transaction>
export function on(subject: Event | Task, handle: (given: never, context: HandlerContext) => unknown): Handler {
  const problems: Problem[] = []
  if (subject?.kind !== 'event' && !isTask(subject))
    problems.push({ path: 'event', expected: 'an event made by event(), or a task made by task()', got: show(subject) })
  if (typeof handle !== 'function') problems.push({ path: 'handle', expected: 'a function (message, context)', got: show(handle) })
  if (problems.length > 0) throw new ConfigError('on()', problems)
  return Object.freeze(
    isTask(subject)
      ? taskHandler(subject, handle as HandleTask<readonly unknown[], unknown>)
      : eventHandler(subject, handle as Handle<unknown>),
  )
}

function eventHandler(event: Event, handle: Handle<unknown>): Handler {
  const { type } = event
  return {
    type,
    source: event,
    run: async (delivery: Delivery, context: HandlerContext) =>
      handle(messageFrom(delivery, await validate(event, delivery.payload)), context),
  }
}

function taskHandler(called: Task, handle: HandleTask<readonly unknown[], unknown>): Handler {
  return { type: called.name, run: (delivery, context, ways) => serveTask(called, handle, { delivery, context, ways }) }
}

/** Consumes a queue: instances share its messages. Throws `ConfigError`. */
export function consume<Transaction = undefined>(
  source: Queue,
  policy: ConsumePolicy<Transaction>,
  ...handlers: Handler<NoInfer<Transaction>>[]
): ConsumerDefinition
export function consume(source: Queue, ...handlers: Handler<undefined>[]): ConsumerDefinition
export function consume(source: Queue, ...rest: (ConsumePolicy<unknown> | Handler<never>)[]): ConsumerDefinition {
  const subject = `consume(${isQueue(source) ? `"${source.name}"` : ''})`
  const [policy, handlers] = splitPolicy(rest)
  const problems = problemsOf(handlers)
  if (!isQueue(source)) problems.push({ path: 'queue', expected: 'a queue made by queue()', got: show(source) })
  else if (source.name === '')
    problems.push({ path: 'queue', expected: 'a queue with a name; for one per instance use broadcast()', got: "''" })
  if (problems.length > 0) throw new ConfigError(subject, problems)
  return definition(source, readPolicy(subject, policy, exponential()), handlers, false)
}

/** Gets every message in every instance, by a queue of its own that ends with it. A handler that throws is not retried. */
export function broadcast(policy: Omit<ConsumePolicy, 'inbox'>, ...handlers: Handler<undefined>[]): ConsumerDefinition
export function broadcast(...handlers: Handler<undefined>[]): ConsumerDefinition
export function broadcast(...rest: (ConsumePolicy<unknown> | Handler<never>)[]): ConsumerDefinition {
  const [policy, handlers] = splitPolicy(rest)
  const problems = problemsOf(handlers)
  // Every instance has its own effect, and a new queue after each loss of its link.
  if (policy.inbox !== undefined)
    problems.push({
      path: 'inbox',
      expected: 'none: every instance handles every message; for effects once use consume()',
      got: 'an inbox',
    })
  if (problems.length > 0) throw new ConfigError('broadcast()', problems)
  const own = queue('', { listensTo: handlers.flatMap(({ source }) => source ?? []) })
  return definition(own, { ...readPolicy('broadcast()', { concurrency: 100, ...policy }, noRetry), deadLetter: false }, handlers, true)
}

function definition(source: Queue, policy: ResolvedPolicy, handlers: readonly Handler<never>[], isBroadcast: boolean): ConsumerDefinition {
  return Object.freeze({ kind: 'consumer', queue: source, policy, handlers: Object.freeze(handlers), broadcast: isBroadcast })
}

function splitPolicy(rest: readonly (ConsumePolicy<unknown> | Handler<never>)[]): [ConsumePolicy<unknown>, Handler<never>[]] {
  const [first, ...others] = rest
  if (first !== undefined && !('run' in first)) return [first, others as Handler<never>[]]
  return [{}, rest as Handler<never>[]]
}

function problemsOf(handlers: readonly Handler<never>[]): Problem[] {
  const problems: Problem[] = []
  if (handlers.length === 0) problems.push({ path: 'handlers', expected: 'at least one on(event, handler)', got: 'none' })
  const types = new Set<string>()
  for (const handler of handlers) {
    const type = handler?.type
    if (type === undefined) problems.push({ path: 'handlers', expected: 'what on(event, handler) returns', got: show(handler) })
    else if (types.has(type)) problems.push({ path: 'handlers', expected: 'one handler per event', got: `two for ${type}` })
    types.add(type)
  }
  return problems
}
