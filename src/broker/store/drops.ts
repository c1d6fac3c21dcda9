import type { DatabaseSync } from 'node:sqlite'
import { idOf, IS_LARGE } from './bodies.ts'

/** Messages deleted in one transaction: some milliseconds of the event loop. */
const SLICE = 1000
/** Higher than any sequence number. */
const END = Number.MAX_SAFE_INTEGER
const ALL_LANES = -1

/** What a purge or the deletion of a queue has dropped, and is not deleted yet. */
interface Drop {
  readonly kept: boolean
  readonly queue: number
  /** Or `ALL_LANES`. */
  readonly lane: number
  /** Messages with higher numbers, up to `upto`. */
  readonly after: number
  readonly upto: number
}

/** For a query on `message`. */
export const NOT_DROPPED = `NOT EXISTS (
  SELECT 1 FROM dropped WHERE dropped.queue = message.queue AND dropped.lane IN (${ALL_LANES}, message.lane)
    AND message.seq > dropped.after AND message.seq <= dropped.upto)`

export interface Drops {
  /**
   * Within a transaction: from now on these messages do not exist. Few are deleted at once, of many a note is kept.
   * What is returned must be called when the transaction is committed.
   */
  lane(kept: boolean, queue: number, lane: number, after: number): () => void
  queue(kept: boolean, queue: number): () => void
  /** Within a transaction: deletes some. What is returned must be called when it is committed. */
  slice(): () => void
  readonly pending: boolean
  /** Behind which number messages of the lane exist, for who asks for those behind `after`. */
  visibleAfter(kept: boolean, queue: number, lane: number, after: number): number
}

const nothing = (): void => {}

/** Deletes many messages little by little, since a million at once would stop the broker for seconds. */
export function drops(db: DatabaseSync, onBodyGone: (id: number) => void): Drops {
  const returning = `RETURNING CASE WHEN ${IS_LARGE} THEN body END AS large`
  const statements = (table: string) => ({
    lane: db.prepare(
      `DELETE FROM ${table} WHERE seq IN (
         SELECT seq FROM ${table} WHERE queue = ? AND lane = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ${SLICE}) ${returning}`,
    ),
    queue: db.prepare(`DELETE FROM ${table} WHERE seq IN (SELECT seq FROM ${table} WHERE queue = ? LIMIT ${SLICE}) ${returning}`),
    last: db.prepare(`SELECT max(seq) AS seq FROM ${table} WHERE queue = ? AND lane = ?`),
  })
  const tables = { kept: statements('main.message'), spilled: statements('temp.spill') }
  const note = db.prepare('INSERT INTO dropped (queue, lane, after, upto) VALUES (?, ?, ?, ?)')
  const forget = db.prepare('DELETE FROM dropped WHERE queue = ? AND lane = ? AND upto = ?')
  const of = (kept: boolean) => (kept ? tables.kept : tables.spilled)
  const list: Drop[] = db
    .prepare('SELECT queue, lane, after, upto FROM dropped')
    .all()
    .map((row) => ({
      kept: true,
      queue: Number(row['queue']),
      lane: Number(row['lane']),
      after: Number(row['after']),
      upto: Number(row['upto']),
    }))

  const deleteSome = ({ kept, queue, lane, after, upto }: Drop): { all: boolean; committed: () => void } => {
    const rows = lane === ALL_LANES ? of(kept).queue.all(queue) : of(kept).lane.all(queue, lane, after, upto)
    const names = rows.flatMap((row) => (row['large'] instanceof Uint8Array ? [row['large']] : []))
    return {
      all: rows.length < SLICE,
      committed() {
        for (const name of names) onBodyGone(idOf(name))
      },
    }
  }
  const drop = (dropped: Drop): (() => void) => {
    const { all, committed } = deleteSome(dropped)
    if (all) return committed
    const { kept, queue, lane, after, upto } = dropped
    if (kept) note.run(queue, lane, after, upto)
    return () => {
      list.push(dropped)
      committed()
    }
  }

  return {
    lane(kept, queue, lane, after) {
      const upto = Number(of(kept).last.get(queue, lane)?.['seq'] ?? after)
      return drop({ kept, queue, lane, after, upto })
    },
    queue: (kept, queue) => drop({ kept, queue, lane: ALL_LANES, after: -1, upto: END }),
    slice() {
      const first = list[0]
      if (!first) return nothing
      const { all, committed } = deleteSome(first)
      if (!all) return committed
      if (first.kept) forget.run(first.queue, first.lane, first.upto)
      return () => {
        list.shift()
        committed()
      }
    },
    get pending() {
      return list.length > 0
    },
    visibleAfter(kept, queue, lane, after) {
      let visible = after
      for (const one of list) {
        if (one.kept === kept && one.queue === queue && one.lane === lane && one.after <= visible) visible = Math.max(visible, one.upto)
      }
      return visible
    },
  }
}
