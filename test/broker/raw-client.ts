/** A client that says exactly what a test tells it to: the codec on a socket, and nothing more. */
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import {
  ContentAssembler,
  decodeMethod,
  FRAME,
  FrameReader,
  FrameWriter,
  type Method,
  type MethodArgs,
  type MethodInput,
  type MethodName,
  PROTOCOL_HEADER,
} from '../../src/amqp/index.ts'
import { decodeProperties } from '../../src/broker/engine/index.ts'
import type { Headers, MessageProperties } from '../../src/core/message.ts'
import { waitFor } from '../support/wait.ts'

export interface RawClient extends Disposable {
  readonly socket: Socket
  readonly writer: FrameWriter
  /** Everything that came, by channel; contents as counts of bytes. */
  readonly got: (Method & { channel: number })[]
  /** What followed deliveries, answers to get and returns. */
  readonly contents: { readonly properties: MessageProperties; readonly body: string }[]
  readonly heartbeats: number
  readonly ended: boolean
  send<N extends MethodName>(channel: number, name: N, args: MethodInput<N>): void
  /** Waits for the next such method, and forgets everything before it. */
  next<N extends MethodName>(name: N, channel?: number): Promise<MethodArgs<N>>
  call<N extends MethodName, R extends MethodName>(channel: number, name: N, args: MethodInput<N>, reply: R): Promise<MethodArgs<R>>
}

const WITH_CONTENT: readonly MethodName[] = ['basic.deliver', 'basic.get-ok', 'basic.return']

export function rawClient(to: NetConnectOpts): RawClient {
  const socket = connect(to)
  const writer = new FrameWriter(socket)
  writer.frameMax = 131_072
  const got: (Method & { channel: number })[] = []
  const contents: RawClient['contents'] = []
  const assemblers = new Map<number, ContentAssembler>()
  let heartbeats = 0
  let ended = false
  const reader = new FrameReader({
    frameMax: 131_072,
    onFrame(type, channel, buffer, start, end) {
      if (type === FRAME.heartbeat) heartbeats++
      if (type === FRAME.method) {
        const method = decodeMethod(buffer, start, end)
        got.push({ ...method, channel })
        if (!WITH_CONTENT.includes(method.name)) return
        const assembler = new ContentAssembler(1 << 20)
        assembler.begin()
        assemblers.set(channel, assembler)
      } else if (type === FRAME.header || type === FRAME.body) {
        const content = assemblers.get(channel)?.frame(type, buffer, start, end)
        if (content) contents.push({ properties: decodeProperties(content.propertyBytes), body: content.body.toString() })
      }
    },
  })
  socket.on('data', (chunk) => reader.push(chunk))
  socket.on('error', () => {})
  socket.on('close', () => (ended = true))
  const client: RawClient = {
    socket,
    writer,
    got,
    contents,
    get heartbeats() {
      return heartbeats
    },
    get ended() {
      return ended
    },
    send: (channel, name, args) => writer.method(channel, name, args),
    async next(name, channel) {
      const find = (): number => got.findIndex((method) => method.name === name && (channel === undefined || method.channel === channel))
      await waitFor(() => find() >= 0, { what: `${name}; came: ${got.map((method) => method.name).join(', ')}`, everyMs: 2 })
      return got.splice(0, find() + 1).at(-1)!.args as never
    },
    call(channel, name, args, reply) {
      client.send(channel, name, args)
      return client.next(reply, channel)
    },
    [Symbol.dispose]: () => socket.destroy(),
  }
  return client
}

export interface LoginOptions {
  readonly mechanism?: string
  readonly response?: Uint8Array
  readonly capabilities?: Headers
  readonly heartbeat?: number
  readonly frameMax?: number
  readonly vhost?: string
}

/** Up to connection.open. */
export async function logIn(client: RawClient, options: LoginOptions = {}): Promise<MethodArgs<'connection.start'>> {
  const { mechanism = 'PLAIN', response = Buffer.from('\0guest\0guest'), capabilities = {}, heartbeat = 0, frameMax = 131_072 } = options
  client.writer.raw(PROTOCOL_HEADER)
  const start = await client.next('connection.start')
  client.send(0, 'connection.start-ok', { clientProperties: { capabilities }, mechanism, response, locale: 'en_US' })
  await client.next('connection.tune')
  client.send(0, 'connection.tune-ok', { channelMax: 10, frameMax, heartbeat })
  client.send(0, 'connection.open', { virtualHost: options.vhost ?? '/' })
  return start
}

/** Ready to use, with channel 1 open. */
export async function opened(to: NetConnectOpts, options: LoginOptions = {}): Promise<RawClient> {
  const client = rawClient(to)
  await logIn(client, options)
  await client.next('connection.open-ok')
  await client.call(1, 'channel.open', {}, 'channel.open-ok')
  return client
}
