/** Results of tasks, as Celery's result backends write them. */
import { messageOf, TaskError } from '../../core/errors.ts'
import { show } from '../../core/options.ts'
import { redactText } from '../../core/redact.ts'
import { Final } from '../outcome.ts'

export interface TaskResult {
  readonly task_id: string
  /** `SUCCESS`, `FAILURE` and `REVOKED` are final; others, such as `STARTED` and `RETRY`, are on the way. */
  readonly status: string
  readonly result: unknown
  readonly traceback: string | null
  readonly children: readonly unknown[]
}

const FINAL = new Set(['SUCCESS', 'FAILURE', 'REVOKED', 'REJECTED', 'IGNORED'])

/** Of a final result that is no success. */
export function taskErrorOf(task: string, { status, result, traceback }: TaskResult): TaskError {
  const told = typeof result === 'object' && result !== null ? (result as Readonly<Record<string, unknown>>) : {}
  const { exc_type: type = status, exc_message: message = show(result), exc_module: module } = told
  const args: readonly unknown[] = Array.isArray(message) ? message : [message]
  const text = args.map((part) => (typeof part === 'string' ? part : show(part))).join(', ')
  return new TaskError(`${task}: ${String(type)}: ${text}`, {
    type: String(type),
    module: typeof module === 'string' ? module : undefined,
    args,
    traceback: traceback ?? '',
    status,
  })
}

/** As a store keeps it. */
export function finalResultInText(text: string): TaskResult | undefined {
  try {
    return finalResultIn(JSON.parse(text))
  } catch {
    return undefined
  }
}

/** Undefined for one that is on the way, or none. */
export function finalResultIn(value: unknown): TaskResult | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { task_id: id, status, result, traceback, children } = value as Readonly<Record<string, unknown>>
  if (typeof status !== 'string' || !FINAL.has(status)) return undefined
  return {
    task_id: String(id),
    status,
    result,
    traceback: typeof traceback === 'string' ? traceback : null,
    children: Array.isArray(children) ? children : [],
  }
}

/** `children` are the ids of what came next, which Python finds as `children` of the result. */
export const successOf = (id: string, result: unknown, children: readonly string[]): TaskResult => ({
  task_id: id,
  status: 'SUCCESS',
  result,
  traceback: null,
  children: children.map((child) => [[child, null], null]),
})

/** In Python it becomes an exception of that name. */
export function failureOf(id: string, error: unknown): TaskResult {
  const isError = error instanceof Error
  const result = {
    exc_type: isError ? error.name : 'Error',
    exc_message: [redactText(messageOf(error))],
    exc_module: (error instanceof Final ? error.module : undefined) ?? 'omnibus',
  }
  return { task_id: id, status: 'FAILURE', result, traceback: isError ? redactText(error.stack ?? '') : null, children: [] }
}

/** What Celery's own workers say of a call that has expired. */
export const expiredOf = (id: string): TaskResult => ({
  task_id: id,
  status: 'REVOKED',
  result: { exc_type: 'TaskRevokedError', exc_message: ['expired'], exc_module: 'celery.exceptions' },
  traceback: null,
  children: [],
})
