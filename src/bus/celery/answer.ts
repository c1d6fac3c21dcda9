/** Tells those who wait for a task what has become of it: in the store of results or, as Celery's rpc:// backend, in a queue of theirs. */
import type { Connection } from '../../core/connection.ts'
import type { Delivery } from '../../core/delivery.ts'
import { CodecError, PublishError } from '../../core/errors.ts'
import type { ResultStore } from '../../core/results.ts'
import type { TaskResult } from './result.ts'
import type { TaskSignature } from './signature.ts'

/** How a result gets to whoever wants it. */
export interface AnswerWays {
  readonly connection: Connection
  readonly results: ResultStore | undefined
}

/** Who may wait for one. */
export interface Asker {
  readonly wanted: boolean
  readonly replyTo: string | undefined
  readonly correlationId: string | undefined
}

/** For the store to keep a result. Milliseconds. */
export const PUT_MS = 10_000

/** Throws `CodecError`: what leans on it would never end. */
export function storeOf({ results }: Pick<AnswerWays, 'results'>): ResultStore {
  if (results) return results
  throw new CodecError('A chord of Celery needs results in Redis on both sides: createBus({ results }), or RESULTS_URL')
}

export const askerOf = ({ properties: { headers, replyTo, correlationId } }: Pick<Delivery, 'properties'>): Asker => ({
  wanted: headers?.['ignore_result'] !== true,
  replyTo,
  correlationId,
})

/** Of a task that has not been called yet, and never will be. */
export const askerFor = ({ options: { id, ignoreResult, replyTo } }: TaskSignature): Asker => ({
  wanted: !ignoreResult,
  replyTo,
  correlationId: id,
})

/** Resolves when the result is on its way. */
export async function answer({ connection, results }: AnswerWays, asker: Asker, result: TaskResult): Promise<void> {
  if (!asker.wanted) return
  if (results) return results.put(result.task_id, JSON.stringify(result), PUT_MS)
  if (!asker.replyTo) return
  const correlationId = asker.correlationId ?? result.task_id
  try {
    await connection.publish('', asker.replyTo, result, { correlationId, persistent: false })
  } catch (error) {
    // Whoever has called is gone.
    if (!(error instanceof PublishError && error.reason === 'unroutable')) throw error
  }
}
