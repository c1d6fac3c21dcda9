import type { Content } from '../../amqp/index.ts'
import type { Message } from '../engine/index.ts'
import { decodeProperties } from '../engine/index.ts'
import { precondition } from '../engine/refusals.ts'

// Property flags, in the first two bytes of the properties (AMQP 0-9-1 §4.2.6.1).
const EXPIRATION_IN_FIRST = 0x01
const USER_ID_IN_SECOND = 0x10

/** The message in memory of its own size, since what arrived is a view of a whole read buffer, which it would keep alive. */
export function compact({ exchange, routingKey }: { exchange: string; routingKey: string }, content: Content): Message {
  const { propertyBytes, body } = content
  const split = propertyBytes.length
  if (body.length * 2 > body.buffer.byteLength) return { exchange, routingKey, properties: Buffer.from(propertyBytes), body }
  const bytes = Buffer.allocUnsafe(split + body.length)
  propertyBytes.copy(bytes, 0)
  body.copy(bytes, split)
  return { exchange, routingKey, properties: bytes.subarray(0, split), body: bytes.subarray(split) }
}

/** Refuses properties the broker acts on and cannot. Throws 406. */
export function checkProperties(message: Message, user: string): void {
  const [first = 0, second = 0] = message.properties
  if ((first & EXPIRATION_IN_FIRST) === 0 && (second & USER_ID_IN_SECOND) === 0) return
  const { expirationMs, userId } = decodeProperties(message.properties)
  if ((first & EXPIRATION_IN_FIRST) !== 0 && expirationMs === undefined) throw precondition('invalid expiration: no_integer')
  if (userId !== undefined && userId !== user) {
    throw precondition(`user_id property set to '${userId}' but authenticated user was '${user}'`)
  }
}
