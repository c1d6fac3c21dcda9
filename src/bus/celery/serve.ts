/** Handles calls of a task: at its time, with its arguments checked, what comes next sent, and its result told to whoever waits for it. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { systemClock } from '../../core/clock.ts'
import type { Delivery } from '../../core/delivery.ts'
import { CodecError, HandlerError, messageOf } from '../../core/errors.ts'
import type { HandlerContext } from '../consume.ts'
import { validateWith } from '../event.ts'
import { bounds, type Limit } from '../limits.ts'
import { Drop, Final, Postpone } from '../outcome.ts'
import { answer, askerOf, storeOf } from './answer.ts'
import { addToChord, tellNever } from './chord.ts'
import { callIn, type Next, nextOf, type TaskCall, taskIdOf } from './message.ts'
import { type NextWays, sendNext } from './next.ts'
import { expiredOf, failureOf, successOf, type TaskResult } from './result.ts'
import type { Kwargs, Task } from './task.ts'

/** A call as a handler gets it. */
export interface TaskMessage<Args extends readonly unknown[] = readonly unknown[]> extends Omit<TaskCall, 'args' | 'kwargs'> {
  readonly args: Args
  readonly kwargs: Kwargs
}

export type TaskWays = NextWays

export type HandleTask<Args extends readonly unknown[], Result, Transaction = unknown> = (
  call: TaskMessage<Args>,
  context: HandlerContext<Transaction>,
) => Result | Promise<Result>

/** Resolves when what comes next and the result are on their way. */
export async function serveTask<Args extends readonly unknown[], Result>(
  task: Task<Args, Result>,
  handle: HandleTask<Args, Result>,
  { delivery, context, ways }: { delivery: Delivery; context: HandlerContext; ways: TaskWays },
): Promise<void> {
  const { next, ...call } = callIn(delivery)
  if (next.chord || [...next.callbacks, next.chain].some((signature) => signature?.kind === 'chord')) storeOf(ways)
  const now = systemClock.wall()
  if (call.expires !== undefined && call.expires <= now) {
    await tellAll(ways, delivery, next, expiredOf)
    throw new Drop(`the call has expired at ${new Date(call.expires).toISOString()}`)
  }
  if (call.eta !== undefined && call.eta > now) throw new Postpone(call.eta - now)
  const args = await checked(task.args, call.args, `args of ${task.name}`)
  const kwargs = await checked(task.kwargs, call.kwargs, `kwargs of ${task.name}`)
  const { signal, within } = bounds(limitsOf(call), { clock: systemClock, signal: context.signal })
  const returned = await within(() => handle({ ...call, args: args as Args, kwargs }, { ...context, signal }))
  const result = (await checked(task.result, returned, `The result of ${task.name}`)) ?? null
  const children = [
    ...(await sendNext(ways, next.callbacks, { parent: call, given: result, reason: 'link' })),
    ...(await sendNext(ways, next.chain ? [next.chain] : [], { parent: call, given: result, reason: 'chain' })),
  ]
  const told = successOf(call.id, result, children)
  await answer(ways, askerOf(delivery), told)
  if (next.chord) await addToChord(ways, next.chord, { told, rootId: call.rootId })
}

/** Celery's own exceptions: neither is tried again there either. */
const limitsOf = ({ timeLimitMs, softTimeLimitMs }: TaskCall): readonly Limit[] =>
  [
    { ms: softTimeLimitMs, hard: false, name: 'SoftTimeLimitExceeded' },
    { ms: timeLimitMs, hard: true, name: 'TimeLimitExceeded' },
  ].flatMap(({ ms, hard, name }) =>
    ms === undefined ? [] : [{ ms, hard, error: () => new Final(name, String(ms / 1_000), { module: 'billiard.exceptions' }) }],
  )

/**
 * Tells whoever waits for it, or for what was to come after it, that a task has failed for good, and sends the calls of its `link_error`.
 * Resolves with the error, which then says what of that could not be. What is no call of a task has nobody to tell.
 */
export async function tellFailure(ways: TaskWays, delivery: Delivery, error: unknown): Promise<unknown> {
  const id = taskIdOf(delivery)
  if (id === undefined) return error
  const next = nextOf(delivery)
  try {
    await tellAll(ways, delivery, next, (each) => failureOf(each, error))
    await sendNext(ways, next?.errbacks ?? [], { parent: { id, rootId: rootOf(delivery) }, given: id, reason: 'link_error' })
    return error
  } catch (failure) {
    // Nothing that another try would mend.
    if (!(failure instanceof Final || failure instanceof CodecError)) throw failure
    return new HandlerError(`${messageOf(error)}; and of what was to come then: ${failure.message}`, { cause: error })
  }
}

/** Those who wait for the task, and those who wait for what it is a part of, or for the rest of its chain, which will not be called. */
async function tellAll(ways: TaskWays, delivery: Delivery, next: Next | undefined, resultOf: (id: string) => TaskResult): Promise<void> {
  const id = taskIdOf(delivery)
  if (id === undefined) return
  const [told, rootId] = [resultOf(id), rootOf(delivery)]
  await answer(ways, askerOf(delivery), told)
  if (next?.chord && ways.results) await addToChord(ways, next.chord, { told, rootId })
  if (next?.chain) await tellNever(ways, next.chain, { resultOf, rootId })
}

/** Of a message that may have anything in its headers. */
function rootOf({ properties: { headers } }: Delivery): string | undefined {
  const id = headers?.['root_id']
  return typeof id === 'string' ? id : undefined
}

async function checked<T>(schema: StandardSchemaV1<unknown, T> | undefined, value: unknown, subject: string): Promise<T> {
  return schema === undefined ? (value as T) : validateWith(schema, value, subject)
}
