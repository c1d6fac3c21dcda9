import type { Socket } from 'node:net'
import type { Clock, Timer } from '../../core/clock.ts'
import { ConnectionError, ProtocolError } from '../../core/errors.ts'
import { FrameReader } from '../frame-reader.ts'
import { FrameWriter } from '../frame-writer.ts'
import { FRAME } from '../frames.ts'

/** Frames accepted before tuning: the smallest every peer must take, with room for generous server properties. */
const FRAME_MAX_BEFORE_TUNING = 131_072

export interface LinkOptions {
  readonly socket: Socket
  readonly clock: Clock
  /** How errors name the peer. */
  readonly label: string
  /** Every frame but heartbeats. What it throws breaks the link. */
  readonly onFrame: (type: number, channel: number, buffer: Buffer, start: number, end: number) => void
  /** Once, when the link is gone for any reason but `destroy`. No frame follows. */
  readonly onBroken: (reason: ConnectionError) => void
}

/** One socket that carries frames, and its heartbeat. */
export class Link {
  readonly writer: FrameWriter
  readonly #options: LinkOptions
  readonly #reader: FrameReader
  #lastHeardAt: number
  #beat: Timer | undefined
  #gone = false

  constructor(options: LinkOptions) {
    const { socket, clock } = options
    this.#options = options
    this.#lastHeardAt = clock.monotonic()
    this.writer = new FrameWriter(socket)
    this.#reader = new FrameReader({
      frameMax: FRAME_MAX_BEFORE_TUNING,
      onFrame: (type, channel, buffer, start, end) => {
        if (type !== FRAME.heartbeat) options.onFrame(type, channel, buffer, start, end)
      },
    })
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', (cause: Error) =>
      this.break(new ConnectionError(`The connection to ${options.label} broke: ${cause.message}`, { cause, cut: true })),
    )
    const onEnd = (): void => this.break(new ConnectionError(`${options.label} closed the connection without a word`, { cut: true }))
    socket.on('end', onEnd)
    socket.on('close', onEnd)
  }

  /** When bytes last came, on the monotonic clock. */
  get lastHeardAt(): number {
    return this.#lastHeardAt
  }

  setFrameMax(bytes: number): void {
    this.#reader.frameMax = bytes
    this.writer.frameMax = bytes
  }

  /**
   * Sends a heartbeat every half interval and breaks the link after two intervals without a byte from the peer
   * (AMQP 0-9-1 §4.2.7). Milliseconds; 0 does nothing.
   */
  startHeartbeat(intervalMs: number): void {
    if (intervalMs === 0) return
    const { clock, label } = this.#options
    const silent = (): boolean => clock.monotonic() - this.#lastHeardAt > intervalMs * 2
    const beat = (): void => {
      if (this.#gone) return
      this.writer.heartbeat()
      this.#beat = clock.after(intervalMs / 2, beat, { unref: true })
      if (!silent()) return
      // When it was this process that stood still, the peer's bytes are waiting in the socket: they are read before that.
      setImmediate(() => {
        if (silent()) this.break(new ConnectionError(`${label} was silent for two heartbeat intervals (${intervalMs * 2} ms)`))
      })
    }
    this.#beat = clock.after(intervalMs / 2, beat, { unref: true })
  }

  /** Sends what is waiting, then closes the socket without calling `onBroken`. */
  end(): void {
    if (this.#gone) return
    this.writer.flush()
    this.#release()
    this.#options.socket.destroySoon()
  }

  /** Closes the socket at once without calling `onBroken`. */
  destroy(): void {
    this.#release()
    this.#options.socket.destroy()
  }

  /** Gives the link up. Only the first call counts, and none after `end` or `destroy`. */
  break(reason: ConnectionError): void {
    if (this.#gone) return
    this.destroy()
    this.#options.onBroken(reason)
  }

  #read(chunk: Buffer): void {
    if (this.#gone) return
    this.#lastHeardAt = this.#options.clock.monotonic()
    try {
      this.#reader.push(chunk)
    } catch (error) {
      this.#breakWith(error)
    }
  }

  #breakWith(error: unknown): void {
    if (this.#gone) return
    const { label, socket } = this.#options
    const text = error instanceof Error ? error.message : String(error)
    if (error instanceof ProtocolError) {
      // The broker's log should say why we leave (§2.2.4).
      this.writer.method(0, 'connection.close', { replyCode: error.replyCode, replyText: text.slice(0, 80), classId: 0, methodId: 0 })
      this.writer.flush()
      this.#release()
      socket.destroySoon()
      this.#options.onBroken(new ConnectionError(`${label} broke the protocol: ${text}`, { cause: error }))
    } else {
      this.break(new ConnectionError(`Reading from ${label} failed: ${text}`, { cause: error }))
    }
  }

  #release(): void {
    this.#gone = true
    this.#reader.stop()
    this.writer.close()
    this.#beat?.cancel()
  }
}
