/** An event: a fact with a versioned name and a schema, published to the one exchange that carries all events. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { type BindingSource, type Exchange, exchange } from '../core/entities.ts'
import { ConfigError, ValidationError } from '../core/errors.ts'
import { show } from '../core/options.ts'

/** Durable topic exchange of all events; an event's type is its routing key. */
export const eventsExchange: Exchange = exchange('omnibus.events', { type: 'topic' })

/** `Input` is what a publisher gives, `Output` what a handler gets; a schema that transforms makes them differ. */
export interface Event<Input = unknown, Output = Input> extends BindingSource {
  readonly kind: 'event'
  /** Its name, e.g. `video.uploaded.v1`; the version belongs to it. */
  readonly type: string
  readonly schema: StandardSchemaV1<Input, Output> | undefined
}

export interface EventOptions<Schema extends StandardSchemaV1> {
  /** Any Standard Schema: zod, valibot, arktype, … */
  readonly schema: Schema
}

/**
 * Declares an event. The type is a routing key: words of letters, digits, `-` and `_` separated by dots. Throws `ConfigError`.
 */
export function event<Schema extends StandardSchemaV1>(
  type: string,
  options: EventOptions<Schema>,
): Event<StandardSchemaV1.InferInput<Schema>, StandardSchemaV1.InferOutput<Schema>>
/** Without a schema nothing is validated; say the data's type yourself. */
export function event<Data = unknown>(type: string): Event<Data>
export function event(type: string, options?: { schema?: StandardSchemaV1 }): Event {
  const problems = []
  if (typeof type !== 'string' || !/^[\w-]+(\.[\w-]+)*$/.test(type) || type.length > 255) {
    problems.push({
      path: 'type',
      expected: 'words of letters, digits, - and _ separated by dots, like video.uploaded.v1',
      got: show(type),
    })
  }
  const schema = options?.schema
  if (schema !== undefined && typeof schema['~standard']?.validate !== 'function') {
    problems.push({ path: 'schema', expected: 'a Standard Schema (zod, valibot, arktype, …)', got: show(schema) })
  }
  if (problems.length > 0) throw new ConfigError(`event("${type}")`, problems)
  return Object.freeze({ kind: 'event', type, schema, exchange: eventsExchange, routingKey: type })
}

/** The data as the schema leaves it. Throws `ValidationError` naming every part that does not fit. */
export async function validate<Input, Output>(event: Event<Input, Output>, data: unknown): Promise<Output> {
  return event.schema === undefined ? (data as Output) : validateWith(event.schema, data, `Data of ${event.type}`)
}

/** The same for any value, which errors call `subject`. */
export async function validateWith<Output>(schema: StandardSchemaV1<unknown, Output>, value: unknown, subject: string): Promise<Output> {
  const result = await schema['~standard'].validate(value)
  if (result.issues === undefined) return result.value
  throw new ValidationError(
    subject,
    result.issues.map((issue) => ({ path: (issue.path ?? []).map(segment).join('.'), expected: issue.message, got: '' })),
  )
}

function segment(part: PropertyKey | StandardSchemaV1.PathSegment): string {
  return String(typeof part === 'object' ? part.key : part)
}
