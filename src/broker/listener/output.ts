import type { ContentMethod, FrameWriter, MethodInput, MethodName } from '../../amqp/index.ts'
import type { BodyReader, Message } from '../engine/index.ts'
import type { Flow } from './flow.ts'

/**
 * What one channel sends, in order. A body that lies on the disk goes out piece by piece, as fast as the client reads; since no other
 * frame of the channel may come between its pieces, all that follows waits for its end.
 */
export class ChannelOutput {
  readonly #writer: FrameWriter
  readonly #flow: Flow
  readonly #channel: number
  readonly #onFree: () => void
  #body: BodyReader | undefined
  #waiting: (() => void)[] = []

  /** `onFree` is called when a large body is through. */
  constructor(writer: FrameWriter, flow: Flow, channel: number, onFree: () => void) {
    this.#writer = writer
    this.#flow = flow
    this.#channel = channel
    this.#onFree = onFree
  }

  /** In the middle of a large body. */
  get busy(): boolean {
    return this.#body !== undefined
  }

  method<N extends MethodName>(name: N, args: MethodInput<N>): void {
    if (!this.busy) return this.#writer.method(this.#channel, name, args)
    this.#waiting.push(() => this.#writer.method(this.#channel, name, args))
  }

  /** Throws `CodecError` for properties that do not fit into a frame, and what reading the body throws. */
  content<N extends ContentMethod>(name: N, args: MethodInput<N>, { properties, body }: Message): void {
    if (body instanceof Uint8Array) {
      if (!this.busy) return this.#writer.content(this.#channel, name, args, properties, body)
      this.#waiting.push(() => this.#writer.content(this.#channel, name, args, properties, body))
      return
    }
    // At once: the file may be deleted before its turn comes.
    const reader = body.open()
    this.inTurn(() => {
      this.#body = reader
      this.#writer.contentHead(this.#channel, name, args, properties, body.length)
    })
    this.proceed()
  }

  /** Now, or behind what waits. */
  inTurn(work: () => void): void {
    if (this.busy) this.#waiting.push(work)
    else work()
  }

  /** Sends on while the client reads. To be called when it reads again. */
  proceed(): void {
    if (!this.busy) return
    while (this.#body && this.#flow.writable) {
      this.#writer.bodyPiece(this.#channel, this.#body.read(this.#writer.frameMax - 8))
      if (this.#body.left > 0) continue
      this.#body.close()
      this.#body = undefined
      while (!this.busy && this.#waiting.length > 0) this.#waiting.shift()?.()
    }
    if (!this.busy) this.#onFree()
  }

  /** Nothing more can be sent. */
  close(): void {
    this.#body?.close()
    this.#body = undefined
    this.#waiting = []
  }
}
