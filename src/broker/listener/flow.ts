import type { Socket } from 'node:net'
import type { FrameWriter } from '../../amqp/index.ts'

/** Deliveries wait while this much is on its way to a slow reader. Bytes; above the socket's own high-water mark. */
const HIGH = 512 * 1024
/** At this much, what comes from it must wait too: it lets its replies, confirms and returns pile up. Bytes. */
const STOP_READING = 8 * 1024 * 1024

export interface FlowHandlers {
  /** `flushed` must be called soon. */
  onFull(): void
  /** Deliveries may go on. */
  onRoom(): void
}

/** Keeps what waits for a slow reader bounded. */
export class Flow {
  readonly #socket: Socket
  readonly #writer: FrameWriter
  readonly #handlers: FlowHandlers
  #waiting = false
  #held = false

  constructor(socket: Socket, writer: FrameWriter, handlers: FlowHandlers) {
    this.#socket = socket
    this.#writer = writer
    this.#handlers = handlers
    socket.on('drain', () => {
      if (socket.isPaused() && !this.#held) socket.resume()
      this.#room()
    })
  }

  /** Asked before each delivery; once it was false, `onRoom` will be called. */
  get writable(): boolean {
    if (this.#writer.pendingBytes < HIGH) return true
    if (!this.#waiting) this.#handlers.onFull()
    this.#waiting = true
    return false
  }

  /** Stops reading altogether, or goes on. */
  hold(held: boolean): void {
    if (this.#held === held) return
    this.#held = held
    if (held) this.#socket.pause()
    else if (this.#socket.writableLength <= STOP_READING) this.#socket.resume()
  }

  /** After reading, which may have brought about replies. */
  check(): void {
    if (this.#writer.pendingBytes > STOP_READING) this.#handlers.onFull()
  }

  /** After everything gathered was handed to the socket, which may have passed it on already: then no drain comes. */
  flushed(): void {
    const left = this.#socket.writableLength
    if (left < HIGH) this.#room()
    else if (left > STOP_READING) this.#socket.pause()
  }

  #room(): void {
    if (!this.#waiting) return
    this.#waiting = false
    this.#handlers.onRoom()
  }
}
