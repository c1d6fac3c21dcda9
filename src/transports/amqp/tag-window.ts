const FIRST_SIZE = 256

/**
 * Values by consecutive tags, oldest first: a ring that grows. A tag costs no allocation of its own, and everything up to
 * a tag can be gone through without a search.
 */
export class TagWindow<T> {
  #slots: (T | undefined)[] = Array.from({ length: FIRST_SIZE })
  #oldest = 1
  #next = 1

  /** The tag of the oldest value that is still here; equal to `next` when there is none. */
  get oldest(): number {
    return this.#oldest
  }

  /** The tag the next value gets. */
  get next(): number {
    return this.#next
  }

  push(value: T): number {
    if (this.#next - this.#oldest === this.#slots.length) this.#grow()
    this.#slots[this.#next & (this.#slots.length - 1)] = value
    return this.#next++
  }

  at(tag: number): T | undefined {
    return tag >= this.#oldest && tag < this.#next ? this.#slots[tag & (this.#slots.length - 1)] : undefined
  }

  take(tag: number): T | undefined {
    const value = this.at(tag)
    if (value === undefined) return undefined
    const mask = this.#slots.length - 1
    this.#slots[tag & mask] = undefined
    while (this.#oldest < this.#next && this.#slots[this.#oldest & mask] === undefined) this.#oldest++
    return value
  }

  #grow(): void {
    const old = this.#slots
    const grown: (T | undefined)[] = Array.from({ length: old.length * 2 })
    for (let tag = this.#oldest; tag < this.#next; tag++) grown[tag & (grown.length - 1)] = old[tag & (old.length - 1)]
    this.#slots = grown
  }
}
