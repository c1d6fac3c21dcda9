/** An inbox in a file of SQLite, on a connection of its own: one transaction at a time, as SQLite has one writer. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Inbox, InboxKey } from '../bus/inbox.ts'
import { Transient } from '../bus/outcome.ts'
import { sleep } from '../core/clock.ts'
import { ConfigError, messageOf } from '../core/errors.ts'
import { show } from '../core/options.ts'
import { type InboxOptions, readInboxOptions, SWEEP_EVERY, SWEEP_ROWS } from './table.ts'

/** Between tries while another process writes. Milliseconds, at most. */
const BUSY_PAUSE_MS = 20

/**
 * `database` is a path, or a function that opens a connection for the inbox alone: what others did on it would be part of a handler's
 * transaction. Handlers get that connection, one after another. It is closed and opened anew when one has run out of time. The table is
 * created where it is missing. Throws `ConfigError`.
 */
export function sqliteInbox(database: string | (() => DatabaseSync), options: InboxOptions = {}): Inbox<DatabaseSync> {
  if (typeof database !== 'function' && (typeof database !== 'string' || database === ''))
    throw new ConfigError('sqliteInbox()', [{ path: 'database', expected: 'a path, or a function that opens one', got: show(database) }])
  const open = async (): Promise<DatabaseSync> =>
    typeof database === 'function' ? database() : new (await import('node:sqlite')).DatabaseSync(database)
  return new SqliteInbox(open, readInboxOptions('sqliteInbox()', options))
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

/** Not SQLite's own waiting, which would hold up the event loop. */
async function whenFree(step: () => void, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      return step()
    } catch (error) {
      if (primaryCode(error) !== BUSY) throw error
    }
    await sleep(1 + Math.random() * BUSY_PAUSE_MS, { signal })
  }
}

const BUSY = 5
/** Busy, locked, input or output error, disk full, cannot open (https://www.sqlite.org/rescode.html). */
const TRANSIENT: readonly (number | undefined)[] = [BUSY, 6, 10, 13, 14]

const isTransient = (error: unknown): boolean => TRANSIENT.includes(primaryCode(error))

const transient = (error: unknown): Transient => new Transient(`SQLite: ${messageOf(error)}`, { cause: error })

function primaryCode(error: unknown): number | undefined {
  const code: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, 'errcode') : undefined
  return typeof code === 'number' ? code & 0xff : undefined
}
