/** The names Kombu's Redis transport uses, each an option there and a query parameter here. */
export interface Names {
  /** Before every key and channel: Kombu's `global_keyprefix`. */
  readonly prefix: string
  readonly sep: string
  readonly unackedKey: string
  readonly unackedIndexKey: string
  /** Of the channels of fanout exchanges, with the database's number in it. */
  readonly fanoutPrefix: string
  /** Ascending; 0 is the most urgent. */
  readonly prioritySteps: readonly number[]
}
