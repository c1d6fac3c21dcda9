/** How a message lies in Redis: Kombu's envelope behind a head of ours, which the scripts write and read. */
import type { MessageProperties, Outgoing } from '../../core/message.ts'
import { type Envelope, readEnvelope, writeEnvelope } from '../kit/envelope.ts'

/** What a script writes at the end, for each copy its own. */
const COPY = '"priority":0,"body_encoding":"base64","delivery_tag":""}}'

/**
 * An envelope without its opening brace and without what a script writes at the end. Throws `CodecError` for headers that are no
 * JSON. The priority goes beside it, since Kombu's fall and a queue's maximum decides.
 */
export function openEnvelope(message: Pick<Outgoing, 'exchange' | 'routingKey' | 'body' | 'properties'>): string {
  const { priority: _, ...properties } = message.properties
  const text = writeEnvelope({ ...message, properties }, '')
  if (!text.endsWith(COPY)) throw new TypeError(`an envelope must end with ${COPY}`)
  return text.slice(1, -COPY.length)
}

export interface Received extends Envelope {
  readonly deliveryCount: number | undefined
}

// At, expires, count, again, priority: see `head` in lua/library.ts.
const HEAD = /^\{"_omnibus": ?"\d+\|\d+\|(\d+)\|([01])\|([\d-]*)"/
/** No head is longer. Bytes. */
const HEAD_MAX = 100

/** Throws `CodecError` for what is no envelope. */
export function receive(source: Buffer): Received {
  const envelope = readEnvelope(source)
  const [, count, again, priority = KOMBUS] = HEAD.exec(source.toString('latin1', 0, HEAD_MAX)) ?? []
  const redelivered = again === '1' || envelope.redelivered
  return {
    ...envelope,
    properties: withPriority(envelope.properties, priority),
    redelivered,
    // Kombu gives back without counting.
    deliveryCount: count !== undefined ? Number(count) : redelivered ? undefined : 0,
  }
}

/** The head's way to say: as the envelope has it. */
const KOMBUS = '-'

function withPriority({ priority: kombus, ...properties }: MessageProperties, priority: string): MessageProperties {
  if (priority === '') return properties
  if (priority !== KOMBUS) return { ...properties, priority: Number(priority) }
  // Kombu writes 0, its most urgent, also where nobody asked for a priority.
  return kombus === undefined || kombus === 0 ? properties : { ...properties, priority: Math.max(0, 9 - kombus) }
}
