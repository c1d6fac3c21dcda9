import type { Queue } from './queue.ts'

/** A message as the engine keeps it: what routing needs in the clear, the rest as the bytes that came. */
export interface Message {
  readonly exchange: string
  readonly routingKey: string
  /** The content header's property flags and property list, encoded (AMQP 0-9-1 §4.2.6.1). */
  readonly properties: Uint8Array
  readonly body: Uint8Array
}

/** A message in one queue. */
export interface Entry {
  readonly queue: Queue
  /** Global and ascending; decides the order within a lane, also after a requeue. */
  readonly seq: number
  /** 0, or the priority in a queue with `x-max-priority`. */
  readonly lane: number
  /** Of properties and body. */
  readonly bytes: number
  /** On the engine's wall clock. 0 is a TTL of 0: gone unless a consumer takes it at once. */
  readonly expiresAt: number | undefined
  /** A row of the store holds it. */
  readonly stored: boolean
  /** How many deliveries failed: rejected with requeue, or lost with their connection. */
  deliveries: number
  redelivered: boolean
  /** Absent while a stored message is with a consumer or was given back; read from the store when it is needed again. */
  message: Message | undefined
}

export const sizeOf = (message: Message): number => message.properties.length + message.body.length
