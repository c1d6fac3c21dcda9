import type { FrameWriter } from '../../amqp/index.ts'
import type { Flow } from './flow.ts'
import type { Heartbeat } from './heartbeat.ts'
import { short } from './reply-text.ts'

/** What the gate needs of its connection. */
export interface PublishGateHost {
  readonly writer: FrameWriter
  readonly flow: Flow
  readonly heartbeat: Heartbeat
  readonly isOpen: boolean
  /** Something is with the client that it may settle. */
  readonly settles: boolean
  /** The client understands `connection.blocked`. */
  readonly hearsOfBlocking: boolean
}

/** Holds a client's publishes back while there is an alarm: it is told so, if it understands that, and not read from where that hinders no ack. */
export class PublishGate {
  readonly #host: PublishGateHost
  #alarm: string | undefined
  #blocked = false
  #published = false

  constructor(host: PublishGateHost) {
    this.#host = host
  }

  /** The client was told that its publishes wait. */
  get blocked(): boolean {
    return this.#blocked
  }

  /** From now on there is this reason, or none. Who has not published hears nothing of it. */
  setAlarm(reason: string | undefined): void {
    this.#alarm = reason
    if (this.#published || reason === undefined) this.#block(reason)
  }

  /** A publish has come. True if it is taken although there is an alarm, since nothing more will be read after it. */
  admit(): boolean {
    this.#published = true
    if (this.#alarm === undefined) return true
    this.#block(this.#alarm)
    return !this.#host.settles
  }

  /** The connection closes: its answer is to be read. */
  release(): void {
    this.#hold(false)
  }

  #block(reason: string | undefined): void {
    const { isOpen, settles, hearsOfBlocking, writer } = this.#host
    if (!isOpen) return
    const blocked = reason !== undefined
    this.#hold(blocked && !settles)
    if (this.#blocked === blocked) return
    this.#blocked = blocked
    if (!hearsOfBlocking) return
    if (blocked) writer.method(0, 'connection.blocked', { reason: short(reason) })
    else writer.method(0, 'connection.unblocked', {})
  }

  #hold(held: boolean): void {
    this.#host.flow.hold(held)
    this.#host.heartbeat.deaf = held
  }
}
