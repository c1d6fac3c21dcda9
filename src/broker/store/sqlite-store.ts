import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite'
import { ByteReader, ByteWriter, readTable, writeTable } from '../../amqp/index.ts'
import type { ExchangeType } from '../../core/entities.ts'
import type { Headers } from '../../core/message.ts'
import type { Entry, Message } from '../engine/message.ts'
import {
  type QueueKey,
  type Snapshot,
  type Store,
  type StoredBinding,
  type StoredExchange,
  type StoredMessage,
  type StoredQueue,
  StoreFailedError,
  StoreFullError,
  type Writes,
} from '../engine/store.ts'
import { openDatabase, PAGE_SIZE } from './database.ts'

/** The statements on messages exist twice: for the durable table and for the temporary one. */
interface Table {
  readonly insert: StatementSync
  readonly remove: StatementSync
  readonly removeRange: StatementSync
  readonly giveBack: StatementSync
  readonly page: StatementSync
  readonly read: StatementSync
  readonly purge: StatementSync
  readonly clear: StatementSync
}

export interface SqliteStore extends Store {
  /** Gives some of the room that deleted messages took back to the file system. Throws `StoreFullError` where there is none to work with. */
  reclaim(): void
  /** What messages take, with what is needed to find them. */
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

const BINDINGS = { queue: 'binding', exchange: 'exchange_binding' } as const

/** Opens the store in the file `path`. Throws `StoreRefusedError`. */
export function openStore(path: string, { logPages = LOG_PAGES }: { logPages?: number } = {}): SqliteStore {
  const db = openDatabase(path, logPages)
  const kept = prepareTable(db, 'main.message')
  const spilled = prepareTable(db, 'temp.spill')
  let insertedBytes = 0
  const tableOf = (queue: QueueKey): Table => (queue.kept ? kept : spilled)

  const guard = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      throw classified(error)
    }
  }
  const transaction = (work: () => void): void =>
    guard(() => {
      db.exec('BEGIN IMMEDIATE')
      try {
        work()
        db.exec('COMMIT')
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
    },
    page: (queue, lane, after, limit, maxBytes) => guard(() => page(tableOf(queue), queue, lane, after, limit, maxBytes)),
    read(queue, seq) {
      const row = guard(() => tableOf(queue).read.get(seq) as unknown)
      if (!row) throw new StoreFailedError(`message ${seq} is not in the store`)
      const [, , , , ...message] = row as MessageRow
      return messageOf(message)
    },
    purge: (queue, lane, after) => transaction(() => tableOf(queue).purge.run(queue.id, lane, after)),
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
        tableOf(queue).clear.run(queue.id)
        if (!queue.kept) return
        run('DELETE FROM binding WHERE queue = (SELECT name FROM queue WHERE id = ?)', queue.id)
        run('DELETE FROM queue WHERE id = ?', queue.id)
      })
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
    get insertedBytes() {
      return insertedBytes
    },
    usedBytes: () => guard(() => (pragma(db, 'page_count') - pragma(db, 'freelist_count')) * PAGE_SIZE),
    close(clean) {
      try {
        if (clean) transaction(() => run("INSERT OR REPLACE INTO meta VALUES ('clean', 1)"))
        db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      } catch {
        // What is committed lies in the log, and is read from there at the next start.
      }
      db.close()
    },
  }
}

const pragma = (db: DatabaseSync, name: string): number => Number(Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0])

function prepareTable(db: DatabaseSync, table: string): Table {
  const columns = 'seq, expires_at, deliveries, redelivered, exchange, routing_key, properties, body'
  const select = (where: string): StatementSync => {
    const statement = db.prepare(`SELECT ${columns} FROM ${table} WHERE ${where}`)
    statement.setReturnArrays(true)
    return statement
  }
  return {
    insert: db.prepare(
      `INSERT INTO ${table} (seq, queue, lane, bytes, expires_at, exchange, routing_key, properties, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    remove: db.prepare(`DELETE FROM ${table} WHERE seq = ?`),
    removeRange: db.prepare(`DELETE FROM ${table} WHERE seq BETWEEN ? AND ?`),
    giveBack: db.prepare(`UPDATE ${table} SET deliveries = ?, redelivered = 1 WHERE seq = ?`),
    page: select('queue = ? AND lane = ? AND seq > ? ORDER BY seq LIMIT ?'),
    read: select('seq = ?'),
    purge: db.prepare(`DELETE FROM ${table} WHERE queue = ? AND lane = ? AND seq > ?`),
    clear: db.prepare(`DELETE FROM ${table} WHERE queue = ?`),
  }
}

function insert(table: Table, entry: Entry): void {
  const { message, queue, seq, lane, bytes, expiresAt = null } = entry
  if (!message) return
  table.insert.run(seq, queue.id, lane, bytes, expiresAt, message.exchange, message.routingKey, message.properties, message.body)
}

/** Numbers without a gap go in one statement: nothing else can lie between them. */
function remove(table: Table, entries: readonly Entry[], kept: boolean): void {
  const seqs = entries.filter((entry) => entry.queue.kept === kept).map((entry) => entry.seq)
  if (seqs.length === 0) return
  seqs.sort((a, b) => a - b)
  let first = seqs[0] ?? 0
  let last = first
  const flush = (): void => {
    if (first === last) table.remove.run(first)
    else table.removeRange.run(first, last)
  }
  for (const seq of seqs) {
    if (seq > last + 1) {
      flush()
      first = seq
    }
    last = seq
  }
  flush()
}

/** Rows come as arrays: names would be made anew for each. */
type MessageRow = readonly [
  seq: number,
  expiresAt: number | null,
  deliveries: number,
  redelivered: number,
  exchange: string,
  routingKey: string,
  properties: Uint8Array,
  body: Uint8Array,
]

function page(table: Table, queue: QueueKey, lane: number, after: number, limit: number, maxBytes: number): StoredMessage[] {
  const found: StoredMessage[] = []
  let bytes = 0
  for (const row of table.page.iterate(queue.id, lane, after, limit) as Iterable<unknown>) {
    const [seq, expiresAt, deliveries, redelivered, ...message] = row as MessageRow
    found.push({ seq, expiresAt: expiresAt ?? undefined, deliveries, redelivered: redelivered === 1, message: messageOf(message) })
    bytes += message[2].length + message[3].length
    if (bytes >= maxBytes) break
  }
  return found
}

const messageOf = ([exchange, routingKey, properties, body]: readonly [string, string, Uint8Array, Uint8Array]): Message => ({
  exchange,
  routingKey,
  properties,
  body,
})

type Row = Record<string, SQLOutputValue>

const bytesAt = (row: Row, column: string): Uint8Array => {
  const value = row[column]
  return value instanceof Uint8Array ? value : new Uint8Array()
}

function load(db: DatabaseSync): Snapshot {
  const number = (sql: string): number => Number(Object.values(db.prepare(sql).get() ?? {})[0] ?? 0)
  const suspectBelow = (): number => number("SELECT value FROM meta WHERE key = 'suspect_below'")
  // Not below the suspects either, or new messages would be taken for some of them.
  const nextSeq = Math.max(number('SELECT max(seq) FROM message') + 1, suspectBelow())
  const clean = db.prepare("DELETE FROM meta WHERE key = 'clean'").run().changes > 0
  if (!clean) db.prepare("INSERT OR REPLACE INTO meta VALUES ('suspect_below', ?)").run(nextSeq)
  return {
    exchanges: db
      .prepare('SELECT * FROM exchange')
      .all()
      .map((row) => ({
        name: String(row['name']),
        type: String(row['type']) as ExchangeType,
        autoDelete: row['auto_delete'] === 1,
        internal: row['internal'] === 1,
        arguments: unpack(bytesAt(row, 'arguments')),
      })),
    queues: db
      .prepare('SELECT * FROM queue ORDER BY id')
      .all()
      .map((row) => ({
        id: Number(row['id']),
        name: String(row['name']),
        autoDelete: row['auto_delete'] === 1,
        arguments: unpack(bytesAt(row, 'arguments')),
      })),
    bindings: [...bindings(db, 'queue'), ...bindings(db, 'exchange')],
    counts: db
      .prepare('SELECT queue, lane, count(*) AS messages, sum(bytes) AS bytes FROM message GROUP BY queue, lane')
      .all()
      .map((row) => ({
        queue: Number(row['queue']),
        lane: Number(row['lane']),
        messages: Number(row['messages']),
        bytes: Number(row['bytes']),
      })),
    nextSeq,
    nextQueueId: number('SELECT max(id) FROM queue') + 1,
    suspectBelow: suspectBelow(),
  }
}

function bindings(db: DatabaseSync, to: StoredBinding['to']): StoredBinding[] {
  const statement = db.prepare(`SELECT * FROM ${BINDINGS[to]}`)
  statement.setReturnArrays(true)
  return (statement.all() as unknown as [string, string, string, Uint8Array][]).map(([exchange, destination, routingKey, packed]) => ({
    exchange,
    to,
    destination,
    routingKey,
    arguments: unpack(packed),
  }))
}

function pack(table: Headers): Uint8Array {
  const writer = new ByteWriter(256)
  writeTable(writer, table)
  return writer.take()
}

const unpack = (bytes: Uint8Array): Headers => readTable(new ByteReader(Buffer.from(bytes)))

const SQLITE_FULL = 13
/** The log's index could not grow: the disk is full as well. */
const SQLITE_IOERR_SHMSIZE = 4874

function classified(error: unknown): unknown {
  if (error instanceof StoreFailedError) return error
  const code = error instanceof Error ? Number(Reflect.get(error, 'errcode')) : 0
  if ((code & 0xff) === SQLITE_FULL || code === SQLITE_IOERR_SHMSIZE) {
    return new StoreFullError(`the disk of the broker is full (${String(Reflect.get(error as Error, 'errstr'))})`, { cause: error })
  }
  return new StoreFailedError(`the store of the broker failed: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
}
