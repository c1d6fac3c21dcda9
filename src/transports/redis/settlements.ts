import type { Settlement } from '../../core/transport.ts'
import type { Link } from './link.ts'

/** One script's worth. */
const PER_CALL = 500

interface Batch {
  readonly done: string[]
  readonly others: [field: string, settlement: Settlement][]
  readonly told: PromiseWithResolvers<boolean>
}

const batch = (): Batch => ({ done: [], others: [], told: Promise.withResolvers() })

/** Tells Redis what was settled: all of a turn at once, and what comes while an answer is awaited together. */
export class Settlements {
  readonly #link: Link
  readonly #onLetters: () => void
  #next = batch()
  #telling: Promise<void> | undefined
  #scheduled = false

  /** `onLetters` is called when there are dead letters to deliver. */
  constructor(link: Link, onLetters: () => void) {
    this.#link = link
    this.#onLetters = onLetters
  }

  /**
   * True when Redis has it; false when it was not told, or did not know all that was settled with it any more, since the lease was
   * over: what that was will come again.
   */
  add(field: string, settlement: Settlement): Promise<boolean> {
    if (settlement === 'ack') this.#next.done.push(field)
    else this.#next.others.push([field, settlement])
    if (!this.#scheduled) {
      this.#scheduled = true
      queueMicrotask(() => this.#flush())
    }
    const { promise } = this.#next.told
    if (this.#next.done.length + this.#next.others.length >= PER_CALL) this.#tell()
    return promise
  }

  /** Sends what waits, and resolves when all of it is answered. */
  async flush(): Promise<void> {
    this.#tell()
    await this.#telling
  }

  #flush(): void {
    this.#scheduled = false
    // Else when that is answered.
    if (this.#telling === undefined) this.#tell()
  }

  #tell(): void {
    const { done, others, told } = this.#next
    if (done.length + others.length === 0) return
    this.#next = batch()
    // The last taken goes back first, so that they lie as they lay.
    const reversed = others.toSorted(([a], [b]) => numberOf(b) - numberOf(a))
    const telling = this.#link.run('settle', JSON.stringify(done), JSON.stringify(reversed)).then(
      (reply) => {
        const [lost, letters] = reply as readonly [number, number]
        told.resolve(lost === 0)
        if (letters > 0) this.#onLetters()
      },
      (error: unknown) => {
        told.resolve(false)
        this.#link.verdict(error)
      },
    )
    const all = Promise.all([this.#telling, telling]).then(() => {
      if (this.#telling === all) this.#telling = undefined
      this.#tell()
    })
    this.#telling = all
  }
}

const numberOf = (field: string): number => Number(field.slice(field.lastIndexOf(':') + 1))
