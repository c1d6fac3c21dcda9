/**
 * The methods of which there is one per message, written out by hand: about ten times cheaper than by the table. The
 * tests hold them equal to it.
 */
import type { ByteReader } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'
import { type Method, type MethodInput, type MethodName, methodKey } from './methods.ts'
import type { StringCache } from './string-cache.ts'

type HotName = 'basic.publish' | 'basic.deliver' | 'basic.ack' | 'basic.nack' | 'basic.reject'
type HotReader = (reader: ByteReader, cache: StringCache | undefined) => Method<HotName>
type HotWriters = { readonly [N in HotName]: (writer: ByteWriter, args: MethodInput<N>) => void }

const PUBLISH = methodKey('basic.publish')
const DELIVER = methodKey('basic.deliver')
const ACK = methodKey('basic.ack')
const NACK = methodKey('basic.nack')
const REJECT = methodKey('basic.reject')

/** By the method's key; called with the reader behind the ids. */
export const hotReaders: ReadonlyMap<number, HotReader> = new Map<number, HotReader>([
  [
    PUBLISH,
    (reader, cache) => {
      reader.skip(2)
      const exchange = reader.shortString(cache)
      const routingKey = reader.shortString(cache)
      const bits = reader.u8()
      return { name: 'basic.publish', args: { exchange, routingKey, mandatory: (bits & 1) !== 0, immediate: (bits & 2) !== 0 } }
    },
  ],
  [
    DELIVER,
    (reader, cache) => {
      const consumerTag = reader.shortString(cache)
      const deliveryTag = reader.u64()
      const redelivered = (reader.u8() & 1) !== 0
      const exchange = reader.shortString(cache)
      const routingKey = reader.shortString(cache)
      return { name: 'basic.deliver', args: { consumerTag, deliveryTag, redelivered, exchange, routingKey } }
    },
  ],
  [
    ACK,
    (reader) => {
      const deliveryTag = reader.u64()
      return { name: 'basic.ack', args: { deliveryTag, multiple: (reader.u8() & 1) !== 0 } }
    },
  ],
  [
    NACK,
    (reader) => {
      const deliveryTag = reader.u64()
      const bits = reader.u8()
      return { name: 'basic.nack', args: { deliveryTag, multiple: (bits & 1) !== 0, requeue: (bits & 2) !== 0 } }
    },
  ],
  [
    REJECT,
    (reader) => {
      const deliveryTag = reader.u64()
      return { name: 'basic.reject', args: { deliveryTag, requeue: (reader.u8() & 1) !== 0 } }
    },
  ],
])

const hot: HotWriters = {
  'basic.publish': (writer, args) => {
    writer.u32(PUBLISH)
    writer.u16(0)
    writer.shortString(args.exchange, 'exchange of basic.publish')
    writer.shortString(args.routingKey, 'routingKey of basic.publish')
    writer.u8((args.mandatory ? 1 : 0) | (args.immediate ? 2 : 0))
  },
  'basic.deliver': (writer, args) => {
    writer.u32(DELIVER)
    writer.shortString(args.consumerTag, 'consumerTag of basic.deliver')
    writer.u64(args.deliveryTag)
    writer.u8(args.redelivered ? 1 : 0)
    writer.shortString(args.exchange, 'exchange of basic.deliver')
    writer.shortString(args.routingKey, 'routingKey of basic.deliver')
  },
  'basic.ack': (writer, args) => {
    writer.u32(ACK)
    writer.u64(args.deliveryTag)
    writer.u8(args.multiple ? 1 : 0)
  },
  'basic.nack': (writer, args) => {
    writer.u32(NACK)
    writer.u64(args.deliveryTag)
    writer.u8((args.multiple ? 1 : 0) | (args.requeue ? 2 : 0))
  },
  'basic.reject': (writer, args) => {
    writer.u32(REJECT)
    writer.u64(args.deliveryTag)
    writer.u8(args.requeue ? 1 : 0)
  },
}

/** Each appends a whole payload, ids included. */
export const hotWriters: HotWriters & { readonly [N in Exclude<MethodName, HotName>]?: never } = hot
