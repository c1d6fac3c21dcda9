/** A task of Celery: a name that both sides know, and the schemas of what goes in and comes out. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ConfigError, type Problem } from '../../core/errors.ts'
import { show } from '../../core/options.ts'

/** What Python calls keyword arguments. */
export type Kwargs = Readonly<Record<string, unknown>>

export interface Task<Args extends readonly unknown[] = readonly unknown[], Result = unknown> {
  readonly kind: 'task'
  /** As Python registers it: `module.function`. */
  readonly name: string
  readonly args: StandardSchemaV1<unknown, Args> | undefined
  readonly kwargs: StandardSchemaV1<unknown, Kwargs> | undefined
  readonly result: StandardSchemaV1<unknown, Result> | undefined
  /** Where calls are sent. */
  readonly queue: string
}

export interface TaskOptions<Args extends StandardSchemaV1, Result extends StandardSchemaV1> {
  /** Of the list of positional arguments, such as `z.tuple([z.number(), z.number()])`. Any Standard Schema. */
  readonly args?: Args
  readonly kwargs?: StandardSchemaV1
  readonly result?: Result
  /** @default 'celery', as Celery's */
  readonly queue?: string
}

type List<T> = T extends readonly unknown[] ? T : readonly unknown[]

/** Declares a task. Throws `ConfigError`. */
export function task<
  Args extends StandardSchemaV1 = StandardSchemaV1<unknown, unknown[]>,
  Result extends StandardSchemaV1 = StandardSchemaV1,
>(
  name: string,
  options: TaskOptions<Args, Result> = {},
): Task<List<StandardSchemaV1.InferOutput<Args>>, StandardSchemaV1.InferOutput<Result>> {
  const { args, kwargs, result, queue = 'celery' } = options
  const problems: Problem[] = []
  if (typeof name !== 'string' || name === '' || Buffer.byteLength(name) > 255)
    problems.push({ path: 'name', expected: "a task's name of 1 to 255 bytes, such as shop.tasks.add", got: show(name) })
  if (typeof queue !== 'string' || queue === '' || Buffer.byteLength(queue) > 255)
    problems.push({ path: 'queue', expected: "a queue's name of 1 to 255 bytes", got: show(queue) })
  for (const [path, schema] of Object.entries({ args, kwargs, result })) {
    if (schema !== undefined && typeof schema['~standard']?.validate !== 'function')
      problems.push({ path, expected: 'a Standard Schema (zod, valibot, arktype, …)', got: show(schema) })
  }
  if (problems.length > 0) throw new ConfigError(`task(${show(name)})`, problems)
  return Object.freeze({ kind: 'task', name, args, kwargs, result, queue }) as Task<
    List<StandardSchemaV1.InferOutput<Args>>,
    StandardSchemaV1.InferOutput<Result>
  >
}

export const isTask = (value: unknown): value is Task =>
  typeof value === 'object' && value !== null && Reflect.get(value, 'kind') === 'task'
