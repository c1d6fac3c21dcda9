/**
 * Celery's task messages, protocol 2: the task is named in the headers, and the body is `[args, kwargs, embed]`.
 * https://docs.celeryq.dev/en/stable/internals/protocol.html; written as Celery 5.2 to 5.6 do.
 */
import type { Delivery } from '../../core/delivery.ts'
import { CodecError } from '../../core/errors.ts'
import type { Headers, MessageProperties } from '../../core/message.ts'
import { show } from '../../core/options.ts'
import type { Kwargs } from './task.ts'

/** A call as it comes in. */
export interface TaskCall {
  readonly id: string
  readonly name: string
  readonly args: readonly unknown[]
  readonly kwargs: Kwargs
  /** How often Celery's `retry()` has sent it again, which is not how often it was tried here. */
  readonly retries: number
  /** Not to be run before; milliseconds since 1970. */
  readonly eta: number | undefined
  /** Not to be run after; milliseconds since 1970. */
  readonly expires: number | undefined
  readonly rootId: string | undefined
  readonly parentId: string | undefined
  readonly groupId: string | undefined
  /** Who called; Celery writes `pid@host`. */
  readonly origin: string | undefined
}

/** What a call asks for besides its result, and what is not done here. */
const EMBEDDED = ['callbacks', 'errbacks', 'chain', 'chord'] as const

type Identity = Pick<Delivery, 'properties'>

/** Undefined for what is no call of a task. */
export function taskNameOf({ properties: { headers } }: Identity): string | undefined {
  const [name, id] = [headers?.['task'], headers?.['id']]
  return typeof name === 'string' && typeof id === 'string' ? name : undefined
}

export function taskIdOf(delivery: Identity): string | undefined {
  return taskNameOf(delivery) === undefined ? undefined : textIn(delivery.properties.headers, 'id')
}

/** Somebody may ask for the result. */
export const isWanted = ({ properties: { headers } }: Identity): boolean => headers?.['ignore_result'] !== true

/** Where the caller waits for the result, if it does. */
export function replyToOf(delivery: Identity): string | undefined {
  return isWanted(delivery) ? delivery.properties.replyTo || undefined : undefined
}

/** Throws `CodecError` for a body that is none, or that asks for more than a result. */
export function callIn(delivery: Delivery): TaskCall {
  const { headers } = delivery.properties
  const body = delivery.payload
  const [args, kwargs, embed]: unknown[] = Array.isArray(body) ? body : []
  if (!Array.isArray(body) || body.length !== 3 || !Array.isArray(args) || !isRecord(kwargs) || !isRecord(embed))
    throw new CodecError(`Expected the body of a Celery task, [args, kwargs, embed], got ${show(body)}`)
  const wanted = EMBEDDED.filter((name) => isAsked(embed[name]))
  if (wanted.length > 0)
    throw new CodecError(`Celery's ${wanted.join(' and ')} cannot be carried out here: call the next task in the handler`)
  const retries = headers?.['retries']
  return {
    id: textIn(headers, 'id') ?? '',
    name: textIn(headers, 'task') ?? '',
    args,
    kwargs,
    retries: typeof retries === 'number' ? retries : 0,
    eta: timeIn(headers, 'eta'),
    expires: timeIn(headers, 'expires'),
    rootId: textIn(headers, 'root_id'),
    parentId: textIn(headers, 'parent_id'),
    groupId: textIn(headers, 'group'),
    origin: textIn(headers, 'origin'),
  }
}

/** Celery's before 4.0, and of `task_protocol = 1`: all of it is in the body. */
export function isProtocol1(delivery: Delivery): boolean {
  try {
    const body = delivery.payload
    return isRecord(body) && typeof body['task'] === 'string' && typeof body['id'] === 'string' && 'args' in body
  } catch {
    return false
  }
}

export interface OutgoingCall {
  readonly id: string
  readonly name: string
  readonly args: readonly unknown[]
  readonly kwargs: Kwargs
  readonly origin: string
  readonly eta?: Date
  readonly expires?: Date
  readonly priority?: number
  /** Whether anybody wants the result, and the queue where it is waited for, if that is one. */
  readonly wanted: boolean
  readonly replyTo?: string
}

export function callMessage(call: OutgoingCall): { readonly body: unknown; readonly properties: MessageProperties } {
  const { id, name, args, kwargs, eta, expires, origin, priority, replyTo, wanted } = call
  const headers: Headers = {
    lang: 'js',
    task: name,
    id,
    shadow: null,
    eta: eta?.toISOString() ?? null,
    expires: expires?.toISOString() ?? null,
    group: null,
    group_index: null,
    retries: 0,
    timelimit: [null, null],
    root_id: id,
    parent_id: null,
    argsrepr: shortened(args),
    kwargsrepr: shortened(kwargs),
    origin,
    ignore_result: !wanted,
  }
  return {
    body: [args, kwargs, { callbacks: null, errbacks: null, chain: null, chord: null }],
    properties: { correlationId: id, headers, ...(replyTo !== undefined && { replyTo }), ...(priority !== undefined && { priority }) },
  }
}

/** What tools for Celery show of a call. */
const shortened = (value: unknown): string => {
  const text = JSON.stringify(value) ?? ''
  return text.length > 1_024 ? `${text.slice(0, 1_021)}...` : text
}

function textIn(headers: Headers | undefined, name: string): string | undefined {
  const value = headers?.[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** ISO 8601 as Python writes it, with microseconds. One without an offset is UTC, as Celery's own are. */
function timeIn(headers: Headers | undefined, name: string): number | undefined {
  const text = textIn(headers, name)
  if (text === undefined) return undefined
  const time = Date.parse(/(Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`)
  if (Number.isNaN(time)) throw new CodecError(`Expected ${name} of a Celery task as ISO 8601 has it, got ${show(text)}`)
  return time
}

const isAsked = (value: unknown): boolean => (Array.isArray(value) ? value.length > 0 : value !== undefined && value !== null)

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
