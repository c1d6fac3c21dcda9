import type { Entry, LargeBody } from '../engine/message.ts'
import type { QueueKey, Store, StoredBinding, StoredExchange, StoredQueue, Writes } from '../engine/store.ts'
import { StoreFailedError } from '../engine/store.ts'
import { Bodies, largeRows } from './bodies.ts'
import { openDatabase, PAGE_SIZE, pragma } from './database.ts'
import { drops } from './drops.ts'
import { classified } from './errors.ts'
import { insert, type MessageRow, messageOf, type MessageTable, page, prepareTable, remove } from './messages.ts'
import { BINDINGS, load, pack } from './snapshot.ts'

export interface SqliteStore extends Store {
  /** Gives some of the room that deleted messages took back to the file system. Throws `StoreFullError` where there is none to work with. */
  reclaim(): void
  /**
   * Looks after the file: deletes what was dropped, writes the log into the main file, and in quiet times gives room back to
   * the file system. To be called each second; takes some milliseconds, and is true when there is more to do soon.
   */
  tend(): boolean
  /** What messages take, with what is needed to find them, and large bodies. */
  usedBytes(): number
  /** Of all messages that were inserted since it was opened. */
  readonly insertedBytes: number
  /** Writes the log into the main file and closes. `clean`: no message was with a consumer. */
  close(clean: boolean): void
}

/** Pages (of 4 KiB) the write-ahead log grows to before it is written into the main file. */
const LOG_PAGES = 4000
/** Pages given back to the file system at a time; moving them takes some milliseconds. */
const RECLAIMED_PAGES = 2000
const TENDED_PAGES = 500
/** Free pages that stay, since they will soon be needed again. */
const FREE_PAGES = 256

/** Opens the store in the file `path`. Throws `StoreRefusedError`. */
export function openStore(path: string, { logPages = LOG_PAGES }: { logPages?: number } = {}): SqliteStore {
  const db = openDatabase(path, logPages)
  const kept = prepareTable(db, 'main.message')
  const spilled = prepareTable(db, 'temp.spill')
  const bodies = new Bodies(path, largeRows(db))
  const dropped = drops(db, (id) => bodies.count(id, -1))
  let insertedBytes = 0
  let broken = false
  /** Transactions so far, and at the last look. */
  let commits = 0
  let seen = 0
  /** Nothing is left to tidy up since then. */
  let settled = false
  const bodyOf = (id: number, size: number): LargeBody => bodies.of(id, size)
  const tableOf = (queue: QueueKey): MessageTable => (queue.kept ? kept : spilled)

  const guard = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      const meaning = classified(error)
      broken ||= meaning instanceof StoreFailedError
      throw meaning
    }
  }
  const transaction = <T>(work: () => T): T =>
    guard(() => {
      db.exec('BEGIN IMMEDIATE')
      try {
        const result = work()
        db.exec('COMMIT')
        commits++
        return result
      } catch (error) {
        // SQLite has rolled back by itself after some errors.
        if (db.isTransaction) db.exec('ROLLBACK')
        throw error
      }
    })
  const run = (sql: string, ...values: (string | number | Uint8Array)[]): void => {
    db.prepare(sql).run(...values)
  }

  return {
    load: () => guard(() => load(db)),
    receive: (size) => bodies.receive(size),
    commit(writes: Writes) {
      transaction(() => {
        for (const entry of writes.inserts) {
          insert(tableOf(entry.queue), entry)
          insertedBytes += entry.bytes
        }
        remove(kept, writes.deletes, true)
        remove(spilled, writes.deletes, false)
        for (const entry of writes.returns) tableOf(entry.queue).giveBack.run(entry.deliveries, entry.seq)
      })
      // First what came: a dead letter is the body's last row for no moment.
      countBodies(bodies, writes.inserts, 1)
      countBodies(bodies, writes.deletes, -1)
    },
    page: (queue, lane, after, limit, maxBytes) =>
      guard(() => {
        const visible = dropped.visibleAfter(queue.kept, queue.id, lane, after)
        return page(tableOf(queue), queue, lane, visible, limit, maxBytes, queue.kept && dropped.pending, bodyOf)
      }),
    read(queue, seq) {
      const row = guard(() => tableOf(queue).read.get(seq) as unknown)
      if (!row) throw new StoreFailedError(`message ${seq} is not in the store`)
      const [, , , , ...message] = row as MessageRow
      return messageOf(message, bodyOf)
    },
    purge: (queue, lane, after) => transaction(() => dropped.lane(queue.kept, queue.id, lane, after))(),
    saveExchange(exchange: StoredExchange) {
      const { name, type, autoDelete, internal } = exchange
      transaction(() =>
        run('INSERT INTO exchange VALUES (?, ?, ?, ?, ?)', name, type, Number(autoDelete), Number(internal), pack(exchange.arguments)),
      )
    },
    deleteExchange(name) {
      transaction(() => {
        run('DELETE FROM exchange WHERE name = ?', name)
        run('DELETE FROM binding WHERE exchange = ?', name)
        run('DELETE FROM exchange_binding WHERE source = ? OR destination = ?', name, name)
      })
    },
    saveQueue(queue: StoredQueue) {
      transaction(() => run('INSERT INTO queue VALUES (?, ?, ?, ?)', queue.id, queue.name, Number(queue.autoDelete), pack(queue.arguments)))
    },
    deleteQueue(queue) {
      transaction(() => {
        const committed = dropped.queue(queue.kept, queue.id)
        if (!queue.kept) return committed
        run('DELETE FROM binding WHERE queue = (SELECT name FROM queue WHERE id = ?)', queue.id)
        run('DELETE FROM queue WHERE id = ?', queue.id)
        return committed
      })()
    },
    saveBinding({ exchange, to, destination, routingKey, arguments: args }: StoredBinding) {
      transaction(() => run(`INSERT OR IGNORE INTO ${BINDINGS[to]} VALUES (?, ?, ?, ?)`, exchange, destination, routingKey, pack(args)))
    },
    deleteBinding({ exchange, to, destination, routingKey, arguments: args }: StoredBinding) {
      const where = to === 'queue' ? 'exchange = ? AND queue = ?' : 'source = ? AND destination = ?'
      transaction(() =>
        run(
          `DELETE FROM ${BINDINGS[to]} WHERE ${where} AND routing_key = ? AND arguments = ?`,
          exchange,
          destination,
          routingKey,
          pack(args),
        ),
      )
    },
    reclaim() {
      guard(() => {
        // Once before, since the log takes room too, and what is reclaimed goes through it.
        db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
        db.exec(`PRAGMA incremental_vacuum(${RECLAIMED_PAGES})`)
        db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      })
    },
    tend() {
      if (dropped.pending) {
        transaction(() => dropped.slice())()
        return true
      }
      const quiet = commits === seen
      if (!quiet) {
        seen = commits
        settled = false
        guard(() => db.exec('PRAGMA wal_checkpoint(PASSIVE)'))
        return false
      }
      if (settled) return false
      return guard(() => {
        const more = Number(pragma(db, 'freelist_count')) > FREE_PAGES
        if (more) db.exec(`PRAGMA incremental_vacuum(${TENDED_PAGES})`)
        db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
        settled = !more
        return more
      })
    },
    get insertedBytes() {
      return insertedBytes
    },
    usedBytes: () => guard(() => (Number(pragma(db, 'page_count')) - Number(pragma(db, 'freelist_count'))) * PAGE_SIZE + bodies.bytes),
    close(clean) {
      // What is on disk now is what the next start goes by; closing would write on, with syncs that may lie after one that failed.
      if (broken) return
      try {
        if (clean) transaction(() => run("INSERT OR REPLACE INTO meta VALUES ('clean', 1)"))
        db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      } catch {
        // What is committed lies in the log, and is read from there at the next start.
      }
      db.close()
      bodies.close()
    },
  }
}

function countBodies(bodies: Bodies, entries: readonly Entry[], rows: 1 | -1): void {
  for (const { message } of entries) if (message && !(message.body instanceof Uint8Array)) bodies.count(message.body.id, rows)
}
