import type { Queue } from './queue.ts'

/** A message as the engine keeps it: what routing needs in the clear, the rest as the bytes that came. */
export interface Message {
  readonly exchange: string
  readonly routingKey: string
  /** The content header's property flags and property list, encoded (AMQP 0-9-1 §4.2.6.1). */
  readonly properties: Uint8Array
  readonly body: Uint8Array | LargeBody
}

/** A body that lies on the disk. */
export interface LargeBody {
  readonly id: number
  /** Bytes. */
  readonly length: number
  /** It can be read to its end from then on, also when the message is gone. Throws where it is not there. */
  open(): BodyReader
}

export interface BodyReader {
  /** Bytes to come. */
  readonly left: number
  /** The next bytes, as many as there are. Throws where they cannot be read. */
  read(most: number): Uint8Array
  close(): void
}

/** Where a large body goes while it arrives. */
export interface BodySink {
  write(piece: Uint8Array): void
  /** All of it is on the disk. Throws what went wrong since the beginning, and then nothing of it is left. */
  finish(): LargeBody
  discard(): void
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
  /** Absent while a stored message that is not large is with a consumer or was given back; read from the store when it is needed again. */
  message: Message | undefined
}

/** Throws for a large one; there is none where there is no store. */
export function bodyInMemory({ body }: Message): Uint8Array {
  if (!(body instanceof Uint8Array)) throw new Error(`the body of ${body.length} bytes lies on the disk`)
  return body
}

/** What a message takes in memory. */
export const heldBytes = (entry: Entry): number => {
  const { message } = entry
  return message && !(message.body instanceof Uint8Array) ? message.properties.length : entry.bytes
}

export const sizeOf = (message: Message): number => message.properties.length + message.body.length
