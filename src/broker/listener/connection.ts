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
import type { Headers } from '../../core/message.ts'
import type { ChannelStats, Engine } from '../engine/index.ts'
import { Flow } from './flow.ts'
import { CHANNEL_MAX, FRAME_MAX, HEARTBEAT_SECONDS, checkTuning, type Login, readLogin, serverProperties } from './handshake.ts'
import { Heartbeat } from './heartbeat.ts'
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

type State = 'header' | 'start-ok' | 'login' | 'tune-ok' | 'open' | 'running' | 'closing' | 'ended'

/** One client: the handshake, its channels, heartbeats and the close (AMQP 0-9-1 §2.2.4, §4.9). */
export class Connection {
  vhost = ''
  #engine: Engine | undefined
  readonly writer: FrameWriter
  readonly cache = new StringCache()
  readonly flow: Flow
  user = ''
  clientProperties: Headers = {}
  #alarm: string | undefined
  #blocked = false
  #published = false
  readonly #options: ConnectionOptions
  readonly #socket: Socket
  readonly #reader: FrameReader
  readonly #heartbeat: Heartbeat
  readonly #channels = new Map<number, ServerChannel>()
  #state: State = 'header'
  #channelMax = CHANNEL_MAX
  #deadline: NodeJS.Timeout | undefined
  #reason = 'the client went away'

  constructor(options: ConnectionOptions) {
    const { socket } = options
    this.#options = options
    this.#socket = socket
    this.writer = new FrameWriter(socket)
    this.flow = new Flow(socket, this.writer, {
      onFull: () => this.dirty(),
      onRoom: () => {
        for (const channel of this.#channels.values()) channel.resume()
      },
    })
    this.#heartbeat = new Heartbeat(this.writer, () => this.#end('the client sent no heartbeat'))
    this.#reader = new FrameReader({
      frameMax: FRAME_MAX,
      expectHeader: true,
      onFrame: (type, channel, buffer, start, end) => this.#frame(type, channel, buffer, start, end),
    })
    this.#limit(HANDSHAKE_MS, 'the handshake took too long')
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#read(chunk))
    socket.on('error', (error) => this.#end(error.message))
    socket.on('close', () => this.#end(this.#reason))
  }

  get isOpen(): boolean {
    return this.#state === 'running'
  }

  /** Of its virtual host, which is known once it is open. */
  get engine(): Engine {
    if (!this.#engine) throw new Error('the connection is not open')
    return this.#engine
  }

  get bodyMax(): number {
    return this.#options.bodyMax
  }

  stats(): ConnectionStats {
    const name = this.clientProperties['connection_name'] ?? this.clientProperties['product']
    return {
      name: typeof name === 'string' ? name : '',
      user: this.user,
      vhost: this.vhost,
      protocol: 'AMQP 0-9-1',
      blocked: this.#blocked,
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

  /** While there is a reason, publishers are blocked: told so, if they understand it, and not read from where that hinders no ack. */
  setAlarm(reason: string | undefined): void {
    this.#alarm = reason
    if (this.#published || reason === undefined) this.#block(reason)
  }

  /** A publish has come. True if it is taken although there is an alarm, since nothing more will be read after it. */
  publishing(): boolean {
    this.#published = true
    if (this.#alarm === undefined) return true
    this.#block(this.#alarm)
    return !this.#settles
  }

  /** Something is with it that it may settle. */
  get #settles(): boolean {
    for (const { channel } of this.#channels.values()) if (channel.consuming || channel.unsettled > 0) return true
    return false
  }

  #block(reason: string | undefined): void {
    if (!this.isOpen) return
    const blocked = reason !== undefined
    this.#hold(blocked && !this.#settles)
    if (this.#blocked === blocked) return
    this.#blocked = blocked
    if (!this.#can('connection.blocked')) return
    if (blocked) this.writer.method(0, 'connection.blocked', { reason: short(reason) })
    else this.writer.method(0, 'connection.unblocked', {})
  }

  #hold(held: boolean): void {
    this.flow.hold(held)
    this.#heartbeat.deaf = held
  }

  /** Says why, and ends when the client has answered or after some seconds. */
  close(replyCode: number, replyText: string, method?: MethodName): void {
    if (this.#state === 'closing' || this.#state === 'ended') return
    if (this.#state === 'header') return this.#end(replyText)
    this.#reason = replyText
    this.#giveBack('untouched')
    this.#hold(false)
    this.#state = 'closing'
    const [classId, methodId] = method ? METHODS[method].id : [0, 0]
    this.writer.method(0, 'connection.close', { replyCode, replyText: short(inVhost(replyText, this.vhost)), classId, methodId })
    this.writer.flush()
    this.#limit(CLOSE_MS, replyText)
  }

  destroy(): void {
    this.#end('the broker ended')
  }

  /** The channel is done with; its number may be used again. */
  forget(id: number): void {
    this.#channels.delete(id)
  }

  #read(chunk: Buffer): void {
    this.#heartbeat.heard()
    try {
      this.#reader.push(chunk)
    } catch (error) {
      this.#failed(error)
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
      if (method.name === 'connection.close-ok') this.#end(this.#reason)
      return
    }
    switch (method.name) {
      case 'connection.start-ok':
        return this.#expect('start-ok', method.name, () => this.#login(method.args))
      case 'connection.tune-ok':
        return this.#expect('tune-ok', method.name, () => this.#tune(method.args))
      case 'connection.open':
        return this.#expect('open', method.name, () => this.#open(method.args.virtualHost))
      case 'connection.update-secret':
        return this.writer.method(0, 'connection.update-secret-ok', {})
      default:
        throw new ProtocolError(`COMMAND_INVALID - ${method.name} is not expected on channel 0`, 503)
    }
  }

  #expect(state: State, name: MethodName, proceed: () => void): void {
    if (this.#state !== state) return this.close(503, `COMMAND_INVALID - unexpected ${name}`, name)
    try {
      proceed()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.close(error.replyCode, error.message, name)
    }
  }

  #start(): void {
    this.#state = 'start-ok'
    this.writer.frameMax = FRAME_MAX
    const [mechanisms, locales] = ['PLAIN AMQPLAIN', 'en_US'].map((value) => Buffer.from(value)) as [Buffer, Buffer]
    this.writer.method(0, 'connection.start', { versionMajor: 0, versionMinor: 9, serverProperties, mechanisms, locales })
  }

  #login(args: { mechanism: string; response: Uint8Array; clientProperties: Headers }): void {
    this.clientProperties = args.clientProperties
    const login = readLogin(args.mechanism, args.response)
    this.#state = 'login'
    const decide = (admitted: boolean): void =>
      this.#expect('login', 'connection.start-ok', () => {
        if (admitted) this.#welcome(login)
        else this.#refuse(args.mechanism)
      })
    const admitted = this.#options.admits(login)
    if (typeof admitted === 'boolean') return decide(admitted)
    admitted.then(
      (is) => {
        if (this.#state === 'login') decide(is)
      },
      (error: unknown) => this.#failed(error),
    )
  }

  #welcome({ user }: Login): void {
    this.user = user
    this.#state = 'tune-ok'
    this.writer.method(0, 'connection.tune', { channelMax: CHANNEL_MAX, frameMax: FRAME_MAX, heartbeat: HEARTBEAT_SECONDS })
  }

  #refuse(mechanism: string): void {
    const refusal = `ACCESS_REFUSED - Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`
    if (!this.#can('authentication_failure_close')) return this.#end(refusal)
    this.close(403, refusal)
  }

  #tune({ channelMax, frameMax, heartbeat }: { channelMax: number; frameMax: number; heartbeat: number }): void {
    checkTuning(channelMax, frameMax)
    this.writer.frameMax = this.#reader.frameMax = frameMax === 0 ? FRAME_MAX : frameMax
    this.#channelMax = channelMax === 0 ? CHANNEL_MAX : channelMax
    this.#heartbeat.start(heartbeat)
    this.#state = 'open'
  }

  #open(vhost: string): void {
    this.#engine = this.#options.engineOf(vhost)
    if (!this.#engine) throw new ProtocolError(`NOT_ALLOWED - vhost ${vhost} not found`, 530)
    this.vhost = vhost
    clearTimeout(this.#deadline)
    this.#state = 'running'
    this.writer.method(0, 'connection.open-ok', {})
    this.#options.onOpen(this)
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

  #failed(error: unknown): void {
    if (this.#state === 'header') {
      // §4.2.2: a server that cannot speak what was asked for answers with its own header.
      this.#socket.write(PROTOCOL_HEADER)
      this.#socket.end()
      return this.#end('the client does not speak AMQP 0-9-1')
    }
    this.#reader.stop()
    if (error instanceof ProtocolError) this.close(error.replyCode, error.message)
    else this.close(541, `INTERNAL_ERROR - ${error instanceof Error ? error.message : String(error)}`)
  }

  #giveBack(how: 'untouched' | 'failed'): void {
    for (const channel of this.#channels.values()) {
      channel.end(how)
      channel.output.close()
    }
    this.#channels.clear()
    this.#engine?.disconnected(this)
  }

  #end(reason: string): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    clearTimeout(this.#deadline)
    this.#heartbeat.stop()
    this.#reader.stop()
    this.#giveBack('failed')
    this.writer.close()
    this.#socket.destroySoon()
    this.#options.onEnd(this, reason)
  }

  #limit(ms: number, reason: string): void {
    clearTimeout(this.#deadline)
    this.#deadline = setTimeout(() => {
      this.#socket.destroy()
      this.#end(reason)
    }, ms)
    this.#deadline.unref()
  }

  #can(capability: string): boolean {
    const { capabilities } = this.clientProperties
    return typeof capabilities === 'object' && capabilities !== null && Reflect.get(capabilities, capability) === true
  }
}
