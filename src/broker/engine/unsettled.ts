import type { Consumer } from './consumer.ts'
import type { Entry } from './message.ts'
import { precondition } from './refusals.ts'

export interface Unsettled {
  readonly tag: number
  readonly entry: Entry
  /** Absent for what was fetched by `get`. */
  readonly consumer: Consumer | undefined
}

/** The deliveries of a channel that wait for an ack, by their tags, in order. */
export class UnsettledDeliveries {
  #byTag = new Map<number, Unsettled>()

  get size(): number {
    return this.#byTag.size
  }

  add(found: Unsettled): void {
    this.#byTag.set(found.tag, found)
  }

  /** Takes out one, or with `multiple` all up to the tag, where 0 means all. Throws 406 for an unknown tag. */
  take(tag: number, multiple: boolean): readonly Unsettled[] {
    if (!multiple) {
      const found = this.#byTag.get(tag)
      if (!found) throw precondition(`unknown delivery tag ${tag}`)
      this.#byTag.delete(tag)
      return [found]
    }
    const taken: Unsettled[] = []
    for (const [known, found] of this.#byTag) {
      if (tag !== 0 && known > tag) break
      this.#byTag.delete(known)
      taken.push(found)
    }
    if (taken.length === 0 && tag !== 0) throw precondition(`unknown delivery tag ${tag}`)
    return taken
  }

  /** Puts some back to their places. */
  restore(found: readonly Unsettled[]): void {
    if (found.length === 0) return
    const all = [...this.#byTag.values(), ...found].toSorted((a, b) => a.tag - b.tag)
    this.#byTag = new Map(all.map((each) => [each.tag, each]))
  }
}
