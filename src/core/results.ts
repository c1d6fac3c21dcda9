/** Where results of tasks are kept by their ids, for callers who ask for them there. */
export interface ResultStore {
  /** Resolves when it is kept; who watches is told. Rejects with `ConnectionError` by the deadline. */
  put(id: string, text: string, deadlineMs: number): Promise<void>
  /** Calls back with every text that is kept under this id, also with what is there already, and so perhaps twice. Never throws. */
  watch(id: string, onText: (text: string) => void): Watch
  /** Says of how many parts a whole is, before its last is added. Rejects with `ConnectionError` by the deadline, as all of these. */
  expectParts(whole: string, count: number, deadlineMs: number): Promise<void>
  /** Adds a part in its place; the same text again is the same part. Resolves with all of them where none is missing, else undefined. */
  addPart(whole: string, part: Part, deadlineMs: number): Promise<Parts | undefined>
  forgetParts(whole: string, deadlineMs: number): Promise<void>
  /** May be called twice. */
  close(): Promise<void>
}

export interface Part {
  readonly text: string
  /** Before those of higher ones; undefined: behind all. */
  readonly index: number | undefined
}

export interface Parts {
  /** In order. */
  readonly texts: readonly string[]
  /** Whoever has begun the whole wants them in a structure of its own. */
  readonly structured: boolean
}

export interface Watch {
  /** Resolves when nothing that is kept from now on can be missed, or as soon as it is tried again. */
  readonly begun: Promise<void>
  stop(): void
}
