/** Where results of tasks are kept by their ids, for callers who ask for them there. */
export interface ResultStore {
  /** Resolves when it is kept; who watches is told. Rejects with `ConnectionError` by the deadline. */
  put(id: string, text: string, deadlineMs: number): Promise<void>
  /** Calls back with every text that is kept under this id, also with what is there already, and so perhaps twice. Never throws. */
  watch(id: string, onText: (text: string) => void): Watch
  /** May be called twice. */
  close(): Promise<void>
}

export interface Watch {
  /** Resolves when nothing that is kept from now on can be missed, or as soon as it is tried again. */
  readonly begun: Promise<void>
  stop(): void
}
