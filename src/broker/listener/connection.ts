import type { Socket } from 'node:net'
import {
  decodeMethod,
  FRAME,
  FrameReader,
  FrameWriter,
  type Method,
  METHODS,
  type MethodName,
  PROTOCOL_HEADER,
  StringCache,
} from '../../amqp/index.ts'
import { ProtocolError } from '../../core/errors.ts'
import type { ChannelStats, Engine } from '../engine/index.ts'
import { Flow } from './flow.ts'
import { CHANNEL_MAX, FRAME_MAX, type Login } from './handshake.ts'
import { Heartbeat } from './heartbeat.ts'
import { Opening, type OpeningHost, type Tuning } from './opening.ts'
import { PublishGate, type PublishGateHost } from './publish-gate.ts'
import { inVhost, short } from './reply-text.ts'
import { ServerChannel } from './server-channel.ts'

/** A client must have opened its connection by then, and answer a close by then. Milliseconds. */
const HANDSHAKE_MS = 10_000
const CLOSE_MS = 3_000

export interface ConnectionOptions {
  readonly socket: Socket
  readonly engineOf: (vhost: string) => Engine | undefined
  /** Largest body of a message. Bytes. */
  readonly bodyMax: number
  readonly admits: (login: Login) => boolean | Promise<boolean>
  /** Something was written that should leave with the end of the engine's turn. */
  readonly onDirty: (connection: Connection) => void
  readonly onOpen: (connection: Connection) => void
  readonly onEnd: (connection: Connection, reason: string) => void
}

export interface ConnectionStats {
  /** As the client calls itself: its connection's name, else its product's. */
  readonly name: string
  readonly user: string
  readonly vhost: string
  readonly protocol: string
  /** Told that publishes wait for an alarm to end. */
  readonly blocked: boolean
  readonly channels: readonly ({ readonly id: number } & ChannelStats)[]
}

type State = 'header' | 'opening' | 'running' | 'closing' | 'ended'

/** One client: its channels, heartbeats and the close (AMQP 0-9-1 §2.2.4, §4.9). */
export class Connection implements OpeningHost, PublishGateHost {
  vhost = ''
  readonly bodyMax: number
  readonly writer: FrameWriter
  readonly cache = new StringCache()
  readonly flow: Flow
  readonly heartbeat: Heartbeat
  readonly gate = new PublishGate(this)
  readonly #options: ConnectionOptions
  readonly #socket: Socket
  readonly #reader: FrameReader
  readonly #opening: Opening
  readonly #channels = new Map<number, ServerChannel>()
  #state: State = 'header'
  #engine: Engine | undefined
  #channelMax = CHANNEL_MAX
  #deadline: NodeJS.Timeout | undefined
  #reason = 'the client went away'

  constructor(options: ConnectionOptions) {
    const { socket } = options
    this.#options = options
    this.bodyMax = options.bodyMax
    this.#socket = socket
    this.writer = new FrameWriter(socket)
    this.flow = new Flow(socket, this.writer, {
      onFull: () => this.dirty(),
      onRoom: () => {
        for (const channel of this.#channels.values()) channel.resume()
      },
    })
    this.heartbeat = new Heartbeat(this.writer, () => this.end('the client sent no heartbeat'))
    this.#reader = new FrameReader({
      frameMax: FRAME_MAX,
      expectHeader: true,
      onFrame: (type, channel, buffer, start, end) => this.#frame(type, channel, buffer, start, end),
    })
    this.#opening = new Opening(this, options.admits)
    this.#limit(HANDSHAKE_MS, 'the handshake took too long')
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#read(chunk))
    socket.on('error', (error) => this.end(error.message))
    socket.on('close', () => this.end(this.#reason))
  }

  get isOpen(): boolean {
    return this.#state === 'running'
  }

  get user(): string {
    return this.#opening.user
  }

  /** Of its virtual host, which is known once it is open. */
  get engine(): Engine {
    if (!this.#engine) throw new Error('the connection is not open')
    return this.#engine
  }

  stats(): ConnectionStats {
    const { connection_name: named, product } = this.#opening.clientProperties
    const name = named ?? product
    return {
      name: typeof name === 'string' ? name : '',
      user: this.user,
      vhost: this.vhost,
      protocol: 'AMQP 0-9-1',
      blocked: this.gate.blocked,
      channels: [...this.#channels].map(([id, { channel }]) => ({ id, ...channel.stats() })),
    }
  }

  /** Marks it to be flushed when the engine's turn ends. */
  dirty(): void {
    this.#options.onDirty(this)
  }

  /** Writes what the engine's turn brought. */
  flush(): void {
    for (const channel of this.#channels.values()) channel.confirm()
    this.writer.flush()
    this.flow.flushed()
  }

  /** Says why, and ends when the client has answered or after some seconds. */
  close(replyCode: number, replyText: string, method?: MethodName): void {
    if (this.#state === 'closing' || this.#state === 'ended') return
    if (this.#state === 'header') return this.end(replyText)
    this.#reason = replyText
    this.#giveBack('untouched')
    this.gate.release()
    this.#state = 'closing'
    const [classId, methodId] = method ? METHODS[method].id : [0, 0]
    this.writer.method(0, 'connection.close', { replyCode, replyText: short(inVhost(replyText, this.vhost)), classId, methodId })
    this.writer.flush()
    this.#limit(CLOSE_MS, replyText)
  }

  /** The channel is done with; its number may be used again. */
  forget(id: number): void {
    this.#channels.delete(id)
  }

  // OpeningHost and PublishGateHost: what the handshake and the gate ask and do.

  get opening(): boolean {
    return this.#state === 'opening'
  }

  get settles(): boolean {
    for (const { channel } of this.#channels.values()) if (channel.consuming || channel.unsettled > 0) return true
    return false
  }

  get hearsOfBlocking(): boolean {
    return this.#opening.can('connection.blocked')
  }

  tuned({ frameMax, channelMax, heartbeat }: Tuning): void {
    this.writer.frameMax = this.#reader.frameMax = frameMax
    this.#channelMax = channelMax
    this.heartbeat.start(heartbeat)
  }

  opened(vhost: string): void {
    this.#engine = this.#options.engineOf(vhost)
    if (!this.#engine) throw new ProtocolError(`NOT_ALLOWED - vhost ${vhost} not found`, 530)
    this.vhost = vhost
    clearTimeout(this.#deadline)
    this.#state = 'running'
    this.writer.method(0, 'connection.open-ok', {})
    this.#options.onOpen(this)
  }

  failed(error: unknown): void {
    if (this.#state === 'header') {
      // §4.2.2: a server that cannot speak what was asked for answers with its own header.
      this.#socket.write(PROTOCOL_HEADER)
      this.#socket.end()
      return this.end('the client does not speak AMQP 0-9-1')
    }
    this.#reader.stop()
    if (error instanceof ProtocolError) this.close(error.replyCode, error.message)
    else this.close(541, `INTERNAL_ERROR - ${error instanceof Error ? error.message : String(error)}`)
  }

  end(reason: string): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    clearTimeout(this.#deadline)
    this.heartbeat.stop()
    this.#reader.stop()
    this.#giveBack('failed')
    this.writer.close()
    this.#socket.destroySoon()
    this.#options.onEnd(this, reason)
  }

  #read(chunk: Buffer): void {
    this.heartbeat.heard()
    try {
      this.#reader.push(chunk)
    } catch (error) {
      this.failed(error)
    }
    this.flow.check()
    // The protocol header has no frame to announce it.
    if (this.#state === 'header' && !this.#reader.awaitsHeader) this.#start()
  }

  #frame(type: number, id: number, buffer: Buffer, start: number, end: number): void {
    if (this.#state === 'header') this.#start()
    if (this.#state === 'ended') return
    if (type === FRAME.heartbeat) return
    if (id === 0) {
      if (type !== FRAME.method) throw new ProtocolError('UNEXPECTED_FRAME - only methods come on channel 0', 505)
      return this.#method(decodeMethod(buffer, start, end, this.cache))
    }
    if (this.#state === 'closing') return
    if (this.#state !== 'running') throw new ProtocolError(`CHANNEL_ERROR - channel ${id} used before the connection was open`, 504)
    const channel = this.#channels.get(id)
    if (channel) return channel.frame(type, buffer, start, end)
    this.#openChannel(id, type === FRAME.method ? decodeMethod(buffer, start, end) : undefined)
  }

  #openChannel(id: number, method: Method | undefined): void {
    // The answer to a close of ours may cross with the client's own close.
    if (method?.name === 'channel.close-ok') return
    if (method?.name !== 'channel.open') throw new ProtocolError(`CHANNEL_ERROR - expected 'channel.open' on channel ${id}`, 504)
    if (id > this.#channelMax) throw new ProtocolError(`CHANNEL_ERROR - channel ${id} is above the limit of ${this.#channelMax}`, 504)
    this.#channels.set(id, new ServerChannel(this, id))
    this.writer.method(id, 'channel.open-ok', {})
  }

  #method(method: Method): void {
    if (method.name === 'connection.close') return this.#closedByClient()
    if (this.#state === 'closing') {
      if (method.name === 'connection.close-ok') this.end(this.#reason)
      return
    }
    switch (method.name) {
      case 'connection.start-ok':
      case 'connection.tune-ok':
      case 'connection.open':
        return this.#opening.method(method)
      case 'connection.update-secret':
        return this.writer.method(0, 'connection.update-secret-ok', {})
      default:
        throw new ProtocolError(`COMMAND_INVALID - ${method.name} is not expected on channel 0`, 503)
    }
  }

  #start(): void {
    this.#state = 'opening'
    this.#opening.begin()
  }

  #closedByClient(): void {
    // What came before is committed, and confirmed, before the goodbye.
    this.#engine?.flush()
    for (const channel of this.#channels.values()) channel.confirm()
    this.#giveBack('untouched')
    this.writer.method(0, 'connection.close-ok', {})
    this.writer.flush()
    this.#reason = 'closed by the client'
    this.#state = 'closing'
    this.#limit(CLOSE_MS, this.#reason)
    this.#socket.end()
  }

  #giveBack(how: 'untouched' | 'failed'): void {
    for (const channel of this.#channels.values()) {
      channel.end(how)
      channel.output.close()
    }
    this.#channels.clear()
    this.#engine?.disconnected(this)
  }

  #limit(ms: number, reason: string): void {
    clearTimeout(this.#deadline)
    this.#deadline = setTimeout(() => {
      this.#socket.destroy()
      this.end(reason)
    }, ms)
    this.#deadline.unref()
  }
}
