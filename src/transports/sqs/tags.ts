/**
 * A queue's arguments and bindings as tags on it, which is where every process finds them: SQS has no exchanges, and Kombu keeps its table
 * of bindings in each process. A tag holds 256 characters of a small alphabet, and a queue 50 tags, so that about 40 bindings fit.
 */
import { createHash } from 'node:crypto'
import type { ExchangeType } from '../../core/entities.ts'
import type { Headers } from '../../core/message.ts'
import { bindingKey } from '../../core/routing.ts'
import { parseWithHeaders, writeJsonHeaders } from '../kit/json-headers.ts'

export type Tags = Readonly<Record<string, string>>

export interface TaggedBinding {
  readonly exchange: string
  readonly type: ExchangeType
  readonly routingKey: string
  readonly arguments: Headers
}

const ARGUMENTS = 'omnibus:arguments'
const BINDING = 'omnibus:binding:'
const OWNER = 'omnibus:owner'
const UNTIL = 'omnibus:until'
const VALUE_LENGTH = 256
export const MOST_TAGS = 50

export function argumentTags(given: Headers): Tags {
  return pieces(ARGUMENTS, writeJsonHeaders(given))
}

export function bindingTags(queue: string, binding: TaggedBinding): Tags {
  const { exchange, type, routingKey, arguments: given } = binding
  return pieces(keyOf(queue, binding), writeJsonHeaders({ exchange, type, routingKey, arguments: given }))
}

/** Of an exclusive queue: whose it is, and until when that is sure. Milliseconds since 1970. */
export function ownerTags(owner: string, until: number): Tags {
  return { [OWNER]: owner, [UNTIL]: String(Math.round(until)) }
}

/** Undefined for a queue that is everybody's. */
export function ownerIn(tags: Tags): { readonly owner: string; readonly until: number } | undefined {
  const { [OWNER]: owner, [UNTIL]: until } = tags
  return owner === undefined ? undefined : { owner, until: Number(until) || 0 }
}

/** The names of a binding's tags among those of its queue. */
export function tagsOfBinding(queue: string, binding: Omit<TaggedBinding, 'type'>, tags: Tags): string[] {
  const key = keyOf(queue, binding)
  return Object.keys(tags).filter((name) => name === key || name.startsWith(`${key}:`))
}

/** Undefined where nobody of ours has declared the queue. */
export function argumentsIn(tags: Tags): Headers | undefined {
  return readHeaders(tags, ARGUMENTS)
}

/** What is no binding, because somebody else has been at the tags, is passed over. */
export function bindingsIn(tags: Tags): TaggedBinding[] {
  return Object.keys(tags).flatMap((name) => {
    if (!name.startsWith(BINDING) || name.includes(':', BINDING.length)) return []
    const read = readHeaders(tags, name)
    const { exchange, type, routingKey, arguments: given } = read ?? {}
    if (typeof exchange !== 'string' || typeof routingKey !== 'string' || !isType(type)) return []
    return [{ exchange, type, routingKey, arguments: isHeaders(given) ? given : {} }]
  })
}

function keyOf(queue: string, { exchange, routingKey, arguments: given }: Omit<TaggedBinding, 'type'>): string {
  const hash = createHash('sha256')
    .update(exchange)
    .update('\0')
    .update(bindingKey(queue, routingKey, given))
  return BINDING + hash.digest('base64url').slice(0, 20)
}

/** `key`, `key:1`, `key:2`, … */
function pieces(key: string, text: string): Tags {
  const encoded = Buffer.from(text).toString('base64url')
  const tags: Record<string, string> = { [key]: encoded.slice(0, VALUE_LENGTH) }
  for (let i = 1; i * VALUE_LENGTH < encoded.length; i++) tags[`${key}:${i}`] = encoded.slice(i * VALUE_LENGTH, (i + 1) * VALUE_LENGTH)
  return tags
}

function readHeaders(tags: Tags, key: string): Headers | undefined {
  let encoded = tags[key]
  if (encoded === undefined) return undefined
  for (let i = 1, piece = tags[`${key}:1`]; piece !== undefined; piece = tags[`${key}:${++i}`]) encoded += piece
  try {
    const read = parseWithHeaders(Buffer.from(encoded, 'base64url').toString())
    return isHeaders(read) ? read : undefined
  } catch {
    return undefined
  }
}

const isHeaders = (value: unknown): value is Headers => typeof value === 'object' && value !== null && !Array.isArray(value)

const isType = (value: unknown): value is ExchangeType => ['direct', 'topic', 'fanout', 'headers'].includes(value as string)
