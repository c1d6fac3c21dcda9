/** An inbox in a file of SQLite, on a connection of its own: one transaction at a time, as SQLite has one writer. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Inbox, InboxKey } from '../../bus/inbox.ts'
import { type InboxOptions, readInboxOptions, SWEEP_EVERY, SWEEP_ROWS } from '../options.ts'
import { isTransient, opener, type SqliteSource, transient, whenFree } from './connection.ts'

/**
 * `database` is a path, or a function that opens a connection for the inbox alone: what others did on it would be part of a handler's
 * transaction. Handlers get that connection, one after another. It is closed and opened anew when one has run out of time. The table is
 * created where it is missing. Throws `ConfigError`.
 */
export function sqliteInbox(database: SqliteSource, options: InboxOptions = {}): Inbox<DatabaseSync> {
  return new SqliteInbox(opener('sqliteInbox()', database), readInboxOptions('sqliteInbox()', options))
}

interface Opened {
  readonly database: DatabaseSync
  readonly mark: StatementSync
  readonly sweep: StatementSync
}

class SqliteInbox implements Inbox<DatabaseSync> {
  readonly #open: () => Promise<DatabaseSync>
  readonly #options: Required<InboxOptions>
  #opened: Opened | undefined
  #last: Promise<unknown> = Promise.resolve()
  /** Messages marked. */
  #count = 0

  constructor(open: () => Promise<DatabaseSync>, options: Required<InboxOptions>) {
    this.#open = open
    this.#options = options
  }

  once(key: InboxKey, work: (database: DatabaseSync) => Promise<void>, signal: AbortSignal): Promise<'handled' | 'duplicate'> {
    const turn = this.#last.then(() => this.#once(key, work, signal))
    this.#last = turn.catch(() => undefined)
    return turn
  }

  async #once(key: InboxKey, work: (database: DatabaseSync) => Promise<void>, signal: AbortSignal): Promise<'handled' | 'duplicate'> {
    let database
    try {
      database = await this.#begin(key, signal)
    } catch (error) {
      this.#rollBack({ close: true })
      throw transient(error)
    }
    if (!database) return 'duplicate'
    try {
      await work(database)
      await whenFree(() => database.exec('COMMIT'), signal)
      return 'handled'
    } catch (error) {
      // A handler whose time is over may still be at it, and must not write into the next one's transaction.
      this.#rollBack({ close: signal.aborted })
      throw isTransient(error) ? transient(error) : error
    }
  }

  /** Resolves with undefined, and no transaction, where the key was marked before. */
  async #begin(key: InboxKey, signal: AbortSignal): Promise<DatabaseSync | undefined> {
    signal.throwIfAborted()
    const { database, mark, sweep } = (this.#opened ??= await this.#prepare(signal))
    await whenFree(() => database.exec('BEGIN IMMEDIATE'), signal)
    const now = Date.now()
    if (mark.run(key.queue, key.source, key.id, now).changes === 0) {
      database.exec('ROLLBACK')
      return undefined
    }
    if (this.#count++ % SWEEP_EVERY === 0) sweep.run(now - this.#options.windowMs)
    return database
  }

  async #prepare(signal: AbortSignal): Promise<Opened> {
    const { table } = this.#options
    const database = await this.#open()
    await whenFree(() => database.exec(tableOf(table)), signal)
    return {
      database,
      mark: database.prepare(`INSERT INTO ${table} (queue, source, id, handled_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`),
      sweep: database.prepare(
        `DELETE FROM ${table} WHERE (queue, source, id) IN (SELECT queue, source, id FROM ${table} WHERE handled_at < ? LIMIT ${SWEEP_ROWS})`,
      ),
    }
  }

  #rollBack({ close }: { close: boolean }): void {
    const database = this.#opened?.database
    try {
      if (!close && database?.isTransaction) database.exec('ROLLBACK')
      if (!close) return
      this.#opened = undefined
      database?.close()
    } catch {
      // Closed by its handler, or beyond help: the next one gets a new one.
      this.#opened = undefined
    }
  }
}

/** `handled_at` in milliseconds since 1970. */
const tableOf = (table: string): string => `
  CREATE TABLE IF NOT EXISTS ${table} (
    queue TEXT, source TEXT, id TEXT, handled_at INTEGER NOT NULL, PRIMARY KEY (queue, source, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS ${table}_handled_at ON ${table.replace(/.*\./, '')} (handled_at)`
