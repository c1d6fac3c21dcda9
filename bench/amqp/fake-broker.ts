/**
 * A broker of frames alone, so that what a client costs can be seen without a broker's own work beside it: it confirms what is published
 * without looking at it, and delivers the same message for ever, as fast as acks and the socket allow. Prints its port.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { bodyOf } from './workload.ts'

const METHOD = 1
const HEADER = 2
const BODY = 3
/** Sent at a time, so that it costs this process next to nothing. */
const BATCH_BYTES = 64 * 1024

const METHODS = {
  startOk: id(10, 11),
  tuneOk: id(10, 31),
  open: id(10, 40),
  close: id(10, 50),
  channelOpen: id(20, 10),
  channelClose: id(20, 40),
  exchangeDeclare: id(40, 10),
  queueDeclare: id(50, 10),
  queueBind: id(50, 20),
  qos: id(60, 10),
  consume: id(60, 20),
  cancel: id(60, 30),
  ack: id(60, 80),
  confirmSelect: id(85, 10),
}

const server = createServer(serve)
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`))

interface Consumer {
  readonly channel: number
  readonly batch: Buffer
  readonly deliveries: number
  readonly tagOffsets: readonly number[]
}

function serve(socket: Socket): void {
  socket.setNoDelay(true)
  socket.on('error', () => undefined)
  let rest: Buffer = Buffer.alloc(0)
  let greeted = false
  const published = new Map<number, { taken: number; told: number }>()
  let frameMax = 131_072
  let prefetch = 0
  let consumer: Consumer | undefined
  /** Bytes of the message being published that have not come yet. */
  let missing = 0
  let delivered = 0
  let acked = 0

  const deliver = (): void => {
    while (consumer && socket.writableLength < 4 * BATCH_BYTES) {
      const room = prefetch === 0 ? consumer.deliveries : Math.min(consumer.deliveries, prefetch - (delivered - acked))
      if (room <= 0) return
      const bytes = Buffer.from(consumer.batch.subarray(0, (consumer.batch.length / consumer.deliveries) * room))
      for (let i = 0; i < room; i++) bytes.writeUInt32BE(++delivered, consumer.tagOffsets[i]!)
      socket.write(bytes)
    }
  }

  const onMethod = (channel: number, payload: Buffer): void => {
    const answer = (method: number, ...args: Buffer[]): unknown => socket.write(frame(METHOD, channel, u32(method), ...args))
    switch (payload.readUInt32BE(0)) {
      case METHODS.startOk:
        return void answer(id(10, 30), u16(2047), u32(131_072), u16(0))
      case METHODS.tuneOk:
        frameMax = payload.readUInt32BE(6) || 131_072
        return
      case METHODS.open:
        return void answer(id(10, 41), shortString(''))
      case METHODS.close:
        return void answer(id(10, 51))
      case METHODS.channelOpen:
        return void answer(id(20, 11), u32(0))
      case METHODS.channelClose:
        return void answer(id(20, 41))
      case METHODS.exchangeDeclare:
        return void answer(id(40, 11))
      case METHODS.queueDeclare:
        return void answer(id(50, 11), payload.subarray(6, 7 + payload[6]!), u32(0), u32(0))
      case METHODS.queueBind:
        return void answer(id(50, 21))
      case METHODS.qos:
        prefetch = payload.readUInt16BE(8)
        return void answer(id(60, 11))
      case METHODS.consume: {
        const queue = payload.toString('utf8', 7, 7 + payload[6]!)
        const at = 7 + payload[6]!
        const asked = payload.subarray(at, at + 1 + payload[at]!)
        const tag = asked.length > 1 ? asked : shortString('made-up-tag')
        answer(id(60, 21), tag)
        consumer = consumerOf(channel, tag, queue, frameMax)
        return deliver()
      }
      case METHODS.cancel:
        consumer = undefined
        return void answer(id(60, 31), payload.subarray(4, 5 + payload[4]!))
      case METHODS.ack:
        acked = payload[12] === 1 ? Math.max(acked, payload.readUInt32BE(8)) : acked + 1
        return
      case METHODS.confirmSelect:
        published.set(channel, { taken: 0, told: 0 })
        return void answer(id(85, 11))
    }
  }

  socket.on('data', (chunk: Buffer) => {
    let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    if (!greeted) {
      if (bytes.length < 8) return void (rest = bytes)
      greeted = true
      bytes = bytes.subarray(8)
      socket.write(
        frame(METHOD, 0, u32(id(10, 10)), Buffer.from([0, 9]), capabilities(), longString('PLAIN AMQPLAIN'), longString('en_US')),
      )
    }
    let at = 0
    while (bytes.length - at >= 7) {
      const end = at + 8 + bytes.readUInt32BE(at + 3)
      if (end > bytes.length) break
      const channel = bytes.readUInt16BE(at + 1)
      if (bytes[at] === METHOD) onMethod(channel, bytes.subarray(at + 7, end - 1))
      else if (bytes[at] === HEADER) missing = bytes.readUInt32BE(at + 15)
      else if (bytes[at] === BODY) {
        missing -= end - at - 8
        if (missing === 0) published.get(channel)!.taken++
      }
      at = end
    }
    rest = bytes.subarray(at)
    for (const [channel, state] of published) {
      if (state.taken === state.told) continue
      state.told = state.taken
      socket.write(frame(METHOD, channel, u32(id(60, 80)), u32(0), u32(state.told), Buffer.from([1])))
    }
    deliver()
  })
  socket.on('drain', deliver)
}

function consumerOf(channel: number, tag: Buffer, queue: string, frameMax: number): Consumer {
  const body = bodyOf(Number(queue.split('.').at(-1)))
  const method = frame(METHOD, channel, u32(id(60, 60)), tag, u32(0), u32(0), Buffer.from([0]), shortString(''), shortString(queue))
  // Flags of content type, headers and delivery mode, as a persistent JSON message has them.
  const properties = [u16(0b1011 << 12), shortString('application/json'), u32(0), Buffer.from([2])]
  const header = frame(HEADER, channel, u16(60), u16(0), u32(0), u32(body.length), ...properties)
  const pieces: Buffer[] = []
  for (let at = 0; at < body.length; at += frameMax - 8) pieces.push(frame(BODY, channel, body.subarray(at, at + frameMax - 8)))
  const one = Buffer.concat([method, header, ...pieces])
  const deliveries = Math.max(1, Math.floor(BATCH_BYTES / one.length))
  // The low half of the tag's 8 bytes, behind the frame's header, the method and the consumer tag.
  const tagOffset = 7 + 4 + tag.length + 4
  return {
    channel,
    batch: Buffer.concat(Array.from({ length: deliveries }, () => one)),
    deliveries,
    tagOffsets: Array.from({ length: deliveries }, (_, i) => i * one.length + tagOffset),
  }
}

function id(classId: number, methodId: number): number {
  return classId * 65_536 + methodId
}

function frame(type: number, channel: number, ...parts: readonly Buffer[]): Buffer {
  const payload = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([type]), u16(channel), u32(payload.length), payload, Buffer.from([0xce])])
}

function u16(value: number): Buffer {
  return Buffer.from([value >>> 8, value & 0xff])
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function shortString(text: string): Buffer {
  return Buffer.from([text.length, ...Buffer.from(text)])
}

function longString(text: string): Buffer {
  return Buffer.concat([u32(text.length), Buffer.from(text)])
}

function table(fields: Readonly<Record<string, Buffer>>): Buffer {
  const bytes = Buffer.concat(Object.entries(fields).flatMap(([name, value]) => [shortString(name), value]))
  return Buffer.concat([u32(bytes.length), bytes])
}

function capabilities(): Buffer {
  const yes = Buffer.from([0x74, 1])
  const offered = table({ publisher_confirms: yes, 'basic.nack': yes, consumer_cancel_notify: yes })
  return table({ capabilities: Buffer.concat([Buffer.from('F'), offered]) })
}
