import type { Socket } from 'node:net'
import { type Clock, systemClock } from '../../core/clock.ts'
import { ConnectionError, ProtocolError, TopologyError } from '../../core/errors.ts'
import type { Headers } from '../../core/message.ts'
import { FRAME } from '../frames.ts'
import type { FrameWriter } from '../frame-writer.ts'
import { decodeMethod } from '../method-codec.ts'
import type { Method } from '../methods.ts'
import { REPLY } from '../reply-codes.ts'
import { StringCache } from '../string-cache.ts'
import { Channel, type ChannelHandlers } from './channel.ts'
import { dial, type TlsMaterial } from './dial.ts'
import { handshake, type Tuned } from './handshake.ts'
import { Link } from './link.ts'
import { type Credentials, describeTarget, type Mechanism, type Target } from './target.ts'

/** Longest wait for the broker's answer to our goodbye. */
const CLOSE_TIMEOUT_MS = 5_000

export interface AmqpConnectionOptions {
  readonly target: Target
  readonly credentials: Credentials
  readonly vhost: string
  /** @default PLAIN, or AMQPLAIN where the server does not take that */
  readonly mechanism?: Mechanism
  readonly tls?: TlsMaterial
  readonly clientProperties: Headers
  readonly connectTimeoutMs: number
  /** Wished heartbeat; 0 turns it off. Milliseconds. */
  readonly heartbeatMs: number
  /** Wished largest frame. Bytes. @default 131_072 */
  readonly frameMax?: number
  /** Wished largest channel number. @default 2047 */
  readonly channelMax?: number
  /** A body above it breaks the connection. Bytes. @default 536_870_912, the most RabbitMQ can be set to */
  readonly bodyMax?: number
  /** Aborting gives up connecting; afterwards it has no effect. */
  readonly signal: AbortSignal
  readonly clock?: Clock
  readonly handlers: AmqpConnectionHandlers
}

export interface AmqpConnectionHandlers {
  /** The connection is gone, once, unless `close` or `destroy` came first. */
  died(reason: ConnectionError): void
  /** The broker reads no publishes for now (https://www.rabbitmq.com/connection-blocked). */
  blocked(reason: string): void
  unblocked(): void
}

/**
 * Connects, logs in and opens the vhost. Rejects with `ConnectionError`: `fatal` when the login or the vhost is refused,
 * by the timeout, or when the signal aborts.
 */
export async function openAmqpConnection(options: AmqpConnectionOptions): Promise<AmqpConnection> {
  const { target, clock = systemClock, connectTimeoutMs, signal } = options
  const label = describeTarget(target)
  const gate = new AbortController()
  const timer = clock.after(connectTimeoutMs, () => {
    gate.abort(new ConnectionError(`${label} did not let us in within ${connectTimeoutMs} ms`))
  })
  const onAbort = (): void => gate.abort(new ConnectionError(`Connecting to ${label} was given up`, { cause: signal.reason }))
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    const socket = await dial(target, options.tls ?? {}, gate.signal)
    const connection = new AmqpConnection(socket, label, options)
    await connection.start(gate.signal)
    return connection
  } finally {
    timer.cancel()
    signal.removeEventListener('abort', onAbort)
  }
}

/** One AMQP connection, from its handshake to its death. It never reconnects. */
export class AmqpConnection {
  readonly #options: AmqpConnectionOptions
  readonly #clock: Clock
  readonly #label: string
  readonly #link: Link
  readonly #cache = new StringCache()
  readonly #channels = new Map<number, Channel>()
  #state: 'opening' | 'open' | 'closing' | 'closed' = 'opening'
  #reason: ConnectionError | undefined
  #tuned: Tuned | undefined
  #nextChannel = 1
  readonly #free: number[] = []
  /** Methods on channel 0 during the handshake, and who waits for one. */
  readonly #inbox: Method[] = []
  #waiting: { resolve: (method: Method) => void; reject: (error: unknown) => void } | undefined
  /** Updates of the secret that the broker has not answered. */
  readonly #updates: { resolve: () => void; reject: (error: unknown) => void }[] = []
  #closed: Promise<void> | undefined
  #endClosing: (() => void) | undefined

  /** For `openAmqpConnection`. */
  constructor(socket: Socket, label: string, options: AmqpConnectionOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#label = label
    this.#link = new Link({
      socket,
      clock: this.#clock,
      label,
      onFrame: (type, channel, buffer, start, end) => this.#receive(type, channel, buffer, start, end),
      onBroken: (reason) => this.#die(reason),
    })
  }

  get writer(): FrameWriter {
    return this.#link.writer
  }

  /** When bytes last came from the broker, on the monotonic clock. */
  get lastHeardAt(): number {
    return this.#link.lastHeardAt
  }

  /** What was agreed on with the broker. */
  get tuned(): Tuned {
    if (!this.#tuned) throw new Error('the handshake is not over')
    return this.#tuned
  }

  /** For `openAmqpConnection`: the handshake, given up when the signal aborts. */
  async start(signal: AbortSignal): Promise<void> {
    const { credentials, vhost, mechanism, clientProperties, heartbeatMs, frameMax = 131_072, channelMax = 2047 } = this.#options
    const onAbort = (): void => {
      this.#link.destroy()
      this.#die(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      const wishes = { label: this.#label, credentials, vhost, mechanism, clientProperties, heartbeatMs, frameMax, channelMax }
      this.#tuned = await handshake(this.#link, () => this.#next(), wishes)
      this.#link.startHeartbeat(this.#tuned.heartbeatMs)
    } catch (error) {
      this.#state = 'closed'
      this.#link.destroy()
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Rejects with `TopologyError` 504 when all channels are in use, with `ConnectionError` when the connection is gone. */
  async openChannel(handlers: ChannelHandlers): Promise<Channel> {
    if (this.#state !== 'open') throw this.#gone()
    const id = this.#free.pop() ?? this.#nextChannel++
    if (id > this.tuned.channelMax) {
      this.#nextChannel = id
      throw new TopologyError(`all ${this.tuned.channelMax} channels of the connection to ${this.#label} are in use`, REPLY.channelError)
    }
    const channel = new Channel(
      {
        writer: this.#link.writer,
        cache: this.#cache,
        bodyMax: this.#options.bodyMax ?? 536_870_912,
        released: (released) => {
          this.#channels.delete(released)
          this.#free.push(released)
        },
      },
      id,
      handlers,
    )
    this.#channels.set(id, channel)
    await channel.call('channel.open', {})
    return channel
  }

  /** Tells the broker a new password (https://www.rabbitmq.com/docs/oauth2). Rejects with `ConnectionError`. */
  updateSecret(secret: string): Promise<void> {
    if (this.#state !== 'open') return Promise.reject(this.#gone())
    return new Promise((resolve, reject) => {
      this.#updates.push({ resolve, reject })
      this.#link.writer.method(0, 'connection.update-secret', { newSecret: Buffer.from(secret), reason: 'renewed before it expires' })
    })
  }

  /** Sends what is waiting, says goodbye and closes; resolves when the socket is closed. May be called twice, and after death. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  /** Ends it at once, without a word and without calling `died`. */
  destroy(): void {
    this.#link.destroy()
    this.#settle(new ConnectionError(`The connection to ${this.#label} was given up`))
  }

  async #close(): Promise<void> {
    if (this.#state !== 'open') return
    const answered = new Promise<void>((resolve) => {
      this.#endClosing = resolve
    })
    this.#state = 'closing'
    // Acks kept back to the last moment must stand before the goodbye.
    this.#link.writer.flush()
    this.#link.writer.method(0, 'connection.close', { replyCode: REPLY.success, replyText: 'bye', classId: 0, methodId: 0 })
    this.#link.writer.flush()
    const timer = this.#clock.after(CLOSE_TIMEOUT_MS, () => this.#endClosing?.())
    await answered
    timer.cancel()
    this.#link.destroy()
    this.#settle(this.#gone())
  }

  #next(): Promise<Method> {
    const first = this.#inbox.shift()
    if (first) return Promise.resolve(first)
    if (this.#state === 'closed') return Promise.reject(this.#gone())
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  #receive(type: number, id: number, buffer: Buffer, start: number, end: number): void {
    if (id !== 0) {
      // Everything but the answer to our goodbye is to be dropped (§2.2.4).
      if (this.#state === 'closing') return
      const channel = this.#channels.get(id)
      if (channel) return channel.receive(type, buffer, start, end)
      throw new ProtocolError(`a frame came on channel ${id}, which is not open`, REPLY.channelError)
    }
    if (type !== FRAME.method) throw new ProtocolError(`a frame of type ${type} came on channel 0`, REPLY.unexpectedFrame)
    this.#receiveMethod(decodeMethod(buffer, start, end))
  }

  #receiveMethod(method: Method): void {
    if (this.#state === 'opening') {
      // From here on frames may come at once, before whoever waits for this method has run.
      if (method.name === 'connection.open-ok') this.#state = 'open'
      if (method.name === 'connection.close') {
        this.#link.writer.method(0, 'connection.close-ok', {})
        this.#link.writer.flush()
      }
      const waiting = this.#waiting
      this.#waiting = undefined
      if (waiting) waiting.resolve(method)
      else this.#inbox.push(method)
      return
    }
    switch (method.name) {
      case 'connection.blocked':
        return this.#state === 'open' ? this.#options.handlers.blocked(method.args.reason) : undefined
      case 'connection.unblocked':
        return this.#state === 'open' ? this.#options.handlers.unblocked() : undefined
      case 'connection.close': {
        this.#link.writer.method(0, 'connection.close-ok', {})
        this.#link.end()
        return this.#die(new ConnectionError(`${this.#label} closed the connection: ${method.args.replyText} (${method.args.replyCode})`))
      }
      case 'connection.update-secret-ok':
        return this.#updates.shift()?.resolve()
      case 'connection.close-ok':
        return this.#endClosing?.()
      default:
        throw new ProtocolError(`${method.name} came on channel 0`, REPLY.commandInvalid)
    }
  }

  #die(reason: ConnectionError): void {
    const alive = this.#state === 'open'
    this.#settle(reason)
    if (alive) this.#options.handlers.died(reason)
  }

  /** Nobody may wait for an answer that cannot come any more. */
  #settle(reason: ConnectionError): void {
    this.#state = 'closed'
    this.#reason ??= reason
    this.#waiting?.reject(reason)
    this.#waiting = undefined
    for (const update of this.#updates.splice(0)) update.reject(reason)
    const channels = [...this.#channels.values()]
    this.#channels.clear()
    for (const channel of channels) channel.fail(reason)
    this.#endClosing?.()
  }

  #gone(): ConnectionError {
    return this.#reason ?? new ConnectionError(`The connection to ${this.#label} is closed`)
  }
}
