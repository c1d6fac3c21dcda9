/** A binary heap: the smallest by `key` comes out first. */
export class Heap<T> {
  readonly #key: (item: T) => number
  #items: T[] = []

  constructor(key: (item: T) => number) {
    this.#key = key
  }

  get size(): number {
    return this.#items.length
  }

  peek(): T | undefined {
    return this.#items[0]
  }

  push(item: T): void {
    const items = this.#items
    const key = this.#key(item)
    let at = items.length
    items.push(item)
    while (at > 0) {
      const up = (at - 1) >> 1
      const parent = items[up]
      if (parent === undefined || this.#key(parent) <= key) break
      items[at] = parent
      at = up
    }
    items[at] = item
  }

  pop(): T | undefined {
    const items = this.#items
    const first = items[0]
    const last = items.pop()
    if (first === undefined || last === undefined || items.length === 0) return first
    const key = this.#key(last)
    let at = 0
    for (;;) {
      let down = 2 * at + 1
      let child = items[down]
      if (child === undefined) break
      const right = items[down + 1]
      if (right !== undefined && this.#key(right) < this.#key(child)) [down, child] = [down + 1, right]
      if (this.#key(child) >= key) break
      items[at] = child
      at = down
    }
    items[at] = last
    return first
  }

  /** Empties it; the items come in no order. */
  drain(): T[] {
    const items = this.#items
    this.#items = []
    return items
  }
}
