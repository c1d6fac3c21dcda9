/**
 * Celery's task messages as they come in, protocol 2: the task is named in the headers, and the body is `[args, kwargs, embed]`.
 * https://docs.celeryq.dev/en/stable/internals/protocol.html
 */
import type { Delivery } from '../../core/delivery.ts'
import { CodecError } from '../../core/errors.ts'
import { show } from '../../core/options.ts'
import { countIn, type Fields, isRecord, listIn, secondsIn, textIn, timeIn, toMs } from './fields.ts'
import { chainIn, type Signature, signatureIn } from './signature.ts'
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
  /** Celery's `time_limit`: it has failed when it takes longer. Milliseconds. */
  readonly timeLimitMs: number | undefined
  /** Celery's `soft_time_limit`: its signal aborts then. Milliseconds. */
  readonly softTimeLimitMs: number | undefined
  readonly rootId: string | undefined
  readonly parentId: string | undefined
  readonly groupId: string | undefined
  /** Who called; Celery writes `pid@host`. */
  readonly origin: string | undefined
}

/** What is to be sent when the task is over. */
export interface Next {
  /** `link`. */
  readonly callbacks: readonly Signature[]
  /** `link_error`. */
  readonly errbacks: readonly Signature[]
  readonly chain: Signature | undefined
  readonly chord: ChordPart | undefined
}

/** A task's place in a chord. */
export interface ChordPart {
  readonly group: string
  readonly index: number | undefined
  readonly body: Signature
}

type Identity = Pick<Delivery, 'properties'>

/** Undefined for what is no call of a task. */
export function taskNameOf({ properties: { headers } }: Identity): string | undefined {
  const [name, id] = [headers?.['task'], headers?.['id']]
  return typeof name === 'string' && typeof id === 'string' ? name : undefined
}

export function taskIdOf(delivery: Identity): string | undefined {
  return taskNameOf(delivery) === undefined ? undefined : textIn(delivery.properties.headers ?? {}, 'id')
}

/** Throws `CodecError` for what is not as Celery writes it. */
export function callIn(delivery: Delivery): TaskCall & { readonly next: Next } {
  const headers: Fields = delivery.properties.headers ?? {}
  const { args, kwargs, embed } = bodyIn(delivery)
  const [hard, soft] = listIn(headers, 'timelimit').map((limit) => secondsIn({ timelimit: limit }, 'timelimit'))
  return {
    id: textIn(headers, 'id') ?? '',
    name: textIn(headers, 'task') ?? '',
    args,
    kwargs,
    retries: countIn(headers, 'retries') ?? 0,
    eta: timeIn(headers, 'eta'),
    expires: timeIn(headers, 'expires'),
    timeLimitMs: toMs(hard),
    softTimeLimitMs: toMs(soft),
    rootId: textIn(headers, 'root_id'),
    parentId: textIn(headers, 'parent_id'),
    groupId: textIn(headers, 'group'),
    origin: textIn(headers, 'origin'),
    next: nextIn(headers, embed),
  }
}

/** What is to be sent when it has failed; nothing where that cannot be read. Never throws. */
export function nextOf(delivery: Delivery): Next | undefined {
  try {
    return nextIn(delivery.properties.headers ?? {}, bodyIn(delivery).embed)
  } catch {
    return undefined
  }
}

function bodyIn({ payload: body }: Delivery): { args: readonly unknown[]; kwargs: Kwargs; embed: Fields } {
  const [args, kwargs, embed]: unknown[] = Array.isArray(body) ? body : []
  if (!Array.isArray(body) || body.length !== 3 || !Array.isArray(args) || !isRecord(kwargs) || !(isRecord(embed) || embed === null))
    throw new CodecError(`Expected the body of a Celery task, [args, kwargs, embed], got ${show(body)}`)
  return { args, kwargs, embed: embed ?? {} }
}

function nextIn(headers: Fields, embed: Fields): Next {
  const all = (name: string): readonly Signature[] => listIn(embed, name).map((value) => signatureIn(value, name))
  const chain = listIn(embed, 'chain')
  return {
    callbacks: all('callbacks'),
    errbacks: all('errbacks'),
    chain: chain.length === 0 ? undefined : chainIn(chain, 'chain'),
    chord: chordPartIn(textIn(headers, 'group'), countIn(headers, 'group_index'), embed['chord']),
  }
}

/** Undefined where there is none to be found: a body belongs to a group. */
export function chordPartIn(group: string | undefined, index: number | undefined, body: unknown): ChordPart | undefined {
  if (body === null || body === undefined || group === undefined) return undefined
  return { group, index, body: signatureIn(body, 'chord') }
}

/** Why a message that looks like Celery's is none of protocol 2. */
export function whyNoCall(delivery: Delivery): string | undefined {
  const { headers } = delivery.properties
  if (isProtocol1(delivery)) return 'Celery has sent this by its protocol 1: it is to be set to task_protocol = 2'
  for (const [name, other] of [
    ['id', 'task'],
    ['task', 'id'],
  ] as const)
    if (typeof headers?.[other] === 'string' && typeof headers[name] !== 'string' && 'lang' in headers)
      return `Expected ${name} in the headers of a Celery task as a text, got ${show(headers[name])}`
  return undefined
}

/** Celery's before 4.0, and of `task_protocol = 1`: all of it is in the body. */
function isProtocol1(delivery: Delivery): boolean {
  try {
    const body = delivery.payload
    return isRecord(body) && typeof body['task'] === 'string' && typeof body['id'] === 'string' && 'args' in body
  } catch {
    return false
  }
}
