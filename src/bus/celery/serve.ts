/** Handles calls of a task: at its time, with its arguments checked, and with its result sent to whoever waits for it. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Connection } from '../../core/connection.ts'
import type { Delivery } from '../../core/delivery.ts'
import { PublishError } from '../../core/errors.ts'
import type { ResultStore } from '../../core/results.ts'
import type { HandlerContext } from '../consume.ts'
import { validateWith } from '../event.ts'
import { Drop, Postpone } from '../outcome.ts'
import { callIn, isWanted, replyToOf, type TaskCall, taskIdOf } from './message.ts'
import { expiredOf, failureOf, successOf, type TaskResult } from './result.ts'
import type { Kwargs, Task } from './task.ts'

/** A call as a handler gets it. */
export interface TaskMessage<Args extends readonly unknown[] = readonly unknown[]> extends Omit<TaskCall, 'args' | 'kwargs'> {
  readonly args: Args
  readonly kwargs: Kwargs
}

/** How a result gets to whoever wants it. */
export interface ReplyWays {
  readonly connection: Connection
  readonly results: ResultStore | undefined
}

/** For the store to keep a result. Milliseconds. */
const PUT_MS = 10_000

export type HandleTask<Args extends readonly unknown[], Result, Transaction = unknown> = (
  call: TaskMessage<Args>,
  context: HandlerContext<Transaction>,
) => Result | Promise<Result>

/** Resolves when the result is on its way to the caller. */
export async function serveTask<Args extends readonly unknown[], Result>(
  task: Task<Args, Result>,
  handle: HandleTask<Args, Result>,
  { delivery, context, ways }: { delivery: Delivery; context: HandlerContext; ways: ReplyWays },
): Promise<void> {
  const call = callIn(delivery)
  const now = Date.now()
  if (call.expires !== undefined && call.expires <= now) {
    await answer(ways, delivery, expiredOf(call.id))
    throw new Drop(`the call has expired at ${new Date(call.expires).toISOString()}`)
  }
  if (call.eta !== undefined && call.eta > now) throw new Postpone(call.eta - now)
  const args = await checked(task.args, call.args, `args of ${task.name}`)
  const kwargs = await checked(task.kwargs, call.kwargs, `kwargs of ${task.name}`)
  const result = await handle({ ...call, args: args as Args, kwargs }, context)
  await answer(ways, delivery, successOf(call.id, await checked(task.result, result, `The result of ${task.name}`)))
}

/** Tells the caller that its task has failed for good. What is no call of a task has no such caller. */
export async function tellFailure(ways: ReplyWays, delivery: Delivery, error: unknown): Promise<void> {
  const id = taskIdOf(delivery)
  if (id !== undefined) await answer(ways, delivery, failureOf(id, error))
}

/** To the store or, as Celery's rpc:// backend, to the queue the caller has named, with the call's correlation id. */
async function answer({ connection, results }: ReplyWays, delivery: Delivery, result: TaskResult): Promise<void> {
  if (results) {
    if (isWanted(delivery)) await results.put(result.task_id, JSON.stringify(result), PUT_MS)
    return
  }
  const replyTo = replyToOf(delivery)
  if (replyTo === undefined) return
  const correlationId = delivery.properties.correlationId ?? result.task_id
  try {
    await connection.publish('', replyTo, result, { correlationId, persistent: false })
  } catch (error) {
    // Whoever has called is gone.
    if (!(error instanceof PublishError && error.reason === 'unroutable')) throw error
  }
}

async function checked<T>(schema: StandardSchemaV1<unknown, T> | undefined, value: unknown, subject: string): Promise<T> {
  return schema === undefined ? (value as T) : validateWith(schema, value, subject)
}
