import type { FrameWriter } from '../../amqp/index.ts'

/** Heartbeats both ways (AMQP 0-9-1 §4.2.7): sends twice per interval, and gives up after two silent ones. */
export class Heartbeat {
  readonly #writer: FrameWriter
  readonly #onSilence: () => void
  /** While nothing is read from the client, its silence means nothing. */
  deaf = false
  #timer: NodeJS.Timeout | undefined
  #lastHeard = performance.now()

  constructor(writer: FrameWriter, onSilence: () => void) {
    this.#writer = writer
    this.#onSilence = onSilence
  }

  heard(): void {
    this.#lastHeard = performance.now()
  }

  /** 0 turns heartbeats off. */
  start(seconds: number): void {
    if (seconds === 0) return
    const ms = seconds * 1000
    this.heard()
    this.#timer = setInterval(() => {
      if (this.deaf) this.heard()
      if (performance.now() - this.#lastHeard > 2 * ms) this.#onSilence()
      else this.#writer.heartbeat()
    }, ms / 2)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
