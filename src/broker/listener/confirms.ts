import type { ChannelOutput } from './output.ts'

/** Publisher confirms of one channel: numbers publishes, and answers as many at once as it can. */
export class Confirms {
  readonly #output: ChannelOutput
  #selected = false
  #lastId = 0
  /** Settled and not yet answered, as acks: `#first` to `#last`, 0 when there are none. */
  #first = 0
  #last = 0

  constructor(output: ChannelOutput) {
    this.#output = output
  }

  get selected(): boolean {
    return this.#selected
  }

  select(): void {
    this.#selected = true
  }

  /** The number of the next publish; 0 when nobody waits for confirms. */
  next(): number {
    return this.#selected ? ++this.#lastId : 0
  }

  /** Comes in the order of publishing. */
  settled(id: number, taken: boolean): void {
    if (!taken) {
      this.flush()
      this.#output.method('basic.nack', { deliveryTag: id, multiple: false, requeue: false })
      return
    }
    if (this.#first === 0) this.#first = id
    this.#last = id
  }

  flush(): void {
    if (this.#first === 0) return
    this.#output.method('basic.ack', { deliveryTag: this.#last, multiple: this.#last > this.#first })
    this.#first = this.#last = 0
  }
}
