import type { Settlement, Unsettled } from './deliveries.ts'
import type { Message } from './message.ts'

/** What a channel did since `tx.select` or its last commit, without effect until the next. */
export class Transaction {
  #publishes: { readonly message: Message; readonly mandatory: boolean }[] = []
  #settled: { readonly found: Unsettled; readonly how: Settlement }[] = []

  get settlements(): number {
    return this.#settled.length
  }

  publish(message: Message, mandatory: boolean): void {
    this.#publishes.push({ message, mandatory })
  }

  settle(found: Unsettled, how: Settlement): void {
    this.#settled.push({ found, how })
  }

  /** Everything it holds; it holds nothing after. */
  take(): {
    publishes: { readonly message: Message; readonly mandatory: boolean }[]
    settled: { readonly found: Unsettled; readonly how: Settlement }[]
  } {
    const [publishes, settled] = [this.#publishes, this.#settled]
    this.#publishes = []
    this.#settled = []
    return { publishes, settled }
  }
}
