import { Heap } from './heap.ts'
import { type Entry, heldBytes } from './message.ts'

/** Messages a lane holds in memory before it leaves the rest to the store, and their bytes. */
export const WINDOW = 2000
const WINDOW_BYTES = 4 * 1024 * 1024
/** The same for a lane that is only looked at, and while all lanes together hold too much. */
const SMALL_WINDOW = 64
const SMALL_WINDOW_BYTES = 64 * 1024

/** What all lanes of an engine hold in memory together. */
export interface Budget {
  bytes: number
  /** Beyond it every lane keeps but little. */
  readonly limit: number
  /** Messages one lane may hold. */
  readonly window: number
}

export interface LaneOptions {
  readonly budget: Budget
  /** Reads on behind `after`; absent where everything stays in memory. */
  readonly page: ((after: number, limit: number, maxBytes: number) => Entry[]) | undefined
}

/**
 * The ready messages of one priority, in order of their sequence numbers. Its head lies in memory, the rest may lie in
 * the store only: what is there has a higher number than anything that ever was in memory.
 */
export class Lane {
  readonly #options: LaneOptions
  /** In order, `undefined` before `#head`. */
  #loaded: (Entry | undefined)[] = []
  #head = 0
  #loadedBytes = 0
  /** Given back; lower numbers than some of those in `#loaded`, or than its consumed part. */
  readonly #returned = new Heap<Entry>((entry) => entry.seq)
  /** Ready in the store and not in memory. */
  #beyond: number
  /** The highest number that ever was in memory. */
  #last = -1

  constructor(options: LaneOptions, beyond: number) {
    this.#options = options
    this.#beyond = beyond
  }

  get size(): number {
    return this.#loaded.length - this.#head + this.#returned.size + this.#beyond
  }

  /** Whether a message that comes now belongs in the store, also one that need not survive. */
  get overflows(): boolean {
    if (!this.#options.page) return false
    return this.#beyond > 0 || this.#full()
  }

  /** Appends a new message, which has a higher number than any before it. */
  push(entry: Entry): void {
    if (entry.stored && this.overflows) {
      this.#beyond++
      return
    }
    this.#load(entry)
  }

  /** Puts a message back to its place. */
  giveBack(entry: Entry): void {
    if (entry.message) this.#options.budget.bytes += heldBytes(entry)
    this.#returned.push(entry)
  }

  /** The message with the lowest number; `eager` when it will be followed by more. */
  peek(eager: boolean): Entry | undefined {
    if (this.#head === this.#loaded.length && this.#beyond > 0) this.#readOn(eager)
    const first = this.#loaded[this.#head]
    const back = this.#returned.peek()
    return back && (!first || back.seq < first.seq) ? back : first
  }

  /** Takes what `peek` has shown. */
  take(): Entry | undefined {
    const first = this.#loaded[this.#head]
    const back = this.#returned.peek()
    if (back && (!first || back.seq < first.seq)) {
      if (back.message) this.#options.budget.bytes -= heldBytes(back)
      return this.#returned.pop()
    }
    if (!first) return undefined
    this.#loaded[this.#head++] = undefined
    this.#loadedBytes -= heldBytes(first)
    this.#options.budget.bytes -= heldBytes(first)
    if (this.#head === this.#loaded.length) {
      this.#loaded = []
      this.#head = 0
    } else if (this.#head > 1024 && this.#head * 2 > this.#loaded.length) {
      this.#loaded = this.#loaded.slice(this.#head)
      this.#head = 0
    }
    return first
  }

  /** Of messages in memory, without those that were given back. */
  get loadedBytes(): number {
    return this.#loadedBytes
  }

  /** Behind which number messages lie in the store only, or undefined when there are none. */
  get beyondAfter(): number | undefined {
    return this.#beyond > 0 ? this.#last : undefined
  }

  /** Empties it and returns what was in memory; what was beyond is the caller's to remove from the store. */
  clear(): Entry[] {
    const entries = [...this.#loaded.filter((entry) => entry !== undefined), ...this.#returned.drain()]
    for (const entry of entries) if (entry.message) this.#options.budget.bytes -= heldBytes(entry)
    this.#loaded = []
    this.#head = this.#loadedBytes = this.#beyond = 0
    return entries
  }

  #full(): boolean {
    const held = this.#loaded.length - this.#head
    if (held >= this.#options.budget.window || this.#loadedBytes >= WINDOW_BYTES) return true
    return this.#crowded && (held >= SMALL_WINDOW || this.#loadedBytes >= SMALL_WINDOW_BYTES)
  }

  get #crowded(): boolean {
    return this.#options.budget.bytes > this.#options.budget.limit
  }

  #load(entry: Entry): void {
    this.#loaded.push(entry)
    this.#loadedBytes += heldBytes(entry)
    this.#options.budget.bytes += heldBytes(entry)
    this.#last = entry.seq
  }

  #readOn(eager: boolean): void {
    const small = !eager || this.#crowded
    const { window } = this.#options.budget
    const entries = this.#options.page?.(
      this.#last,
      small ? Math.min(SMALL_WINDOW, window) : window,
      small ? SMALL_WINDOW_BYTES : WINDOW_BYTES,
    )
    // A count that disagrees with the store must not make this loop for ever.
    if (!entries || entries.length === 0) this.#beyond = 0
    else {
      for (const entry of entries) this.#load(entry)
      this.#beyond = Math.max(0, this.#beyond - entries.length)
    }
  }
}
