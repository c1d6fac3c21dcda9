import { ByteWriter, peekProperties, readProperties, writeProperties, type QueueingProperties } from '../../amqp/index.ts'
import type { Headers, MessageProperties } from '../../core/message.ts'
import type { Message } from './message.ts'

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)

/** Throws `ProtocolError` 502. */
export const decodeProperties = (bytes: Uint8Array): MessageProperties => readProperties(asBuffer(bytes))

/** Throws `CodecError`. */
export function encodeProperties(properties: MessageProperties): Uint8Array {
  const writer = new ByteWriter(256)
  writeProperties(writer, properties)
  return writer.take()
}

/** What queueing needs to know, without decoding the rest. Throws `ProtocolError` 502. */
export const queueing = (message: Message): QueueingProperties => peekProperties(asBuffer(message.properties))

export const headersOf = (message: Message): Headers => decodeProperties(message.properties).headers ?? {}

/** The same message with some headers more, as a new one. */
export function withHeaders(message: Message, added: Headers): Message {
  const properties = decodeProperties(message.properties)
  return { ...message, properties: encodeProperties({ ...properties, headers: { ...properties.headers, ...added } }) }
}
