/** What stands in a `LinkedList`: in one at a time. Only the list writes these. */
export interface Linked<T> {
  list: object | undefined
  previous: T | undefined
  next: T | undefined
}

/** Members in the order they came. Unlike a Set it neither hashes nor allocates, which shows where every message passes. */
export class LinkedList<T extends Linked<T>> {
  #first: T | undefined
  #last: T | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  get first(): T | undefined {
    return this.#first
  }

  add(member: T): void {
    member.list = this
    member.previous = this.#last
    if (this.#last) this.#last.next = member
    else this.#first = member
    this.#last = member
    this.#size++
  }

  /** False when it was not in this list. */
  delete(member: T): boolean {
    if (member.list !== this) return false
    const { previous, next } = member
    if (previous) previous.next = next
    else this.#first = next
    if (next) next.previous = previous
    else this.#last = previous
    member.list = member.previous = member.next = undefined
    this.#size--
    return true
  }

  toArray(): T[] {
    const members: T[] = []
    for (let member = this.#first; member; member = member.next) members.push(member)
    return members
  }
}
