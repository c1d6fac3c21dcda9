/** An outbox in a file of SQLite: whoever writes has its own connection, and the relay another. */
import type { DatabaseSync } from 'node:sqlite'
import type { Outbox, Relayed } from '../../bus/outbox.ts'
import { type OutboxOptions, readOutboxOptions, RELAYED_ROWS } from '../options.ts'
import { opener, type SqliteSource, whenFree } from './connection.ts'

/** How long a relay has to itself what it has taken: longer than any publish takes. A process that dies leaves it to others then. Milliseconds. */
const TAKEN_MS = 30_000

/**
 * Events are written through any connection to the file that is in a transaction; `database`, a path or a function that opens one, is for
 * the relay alone. The table is created where it is missing. Throws `ConfigError`.
 */
export function sqliteOutbox(database: SqliteSource, options: OutboxOptions = {}): Outbox<DatabaseSync> {
  return new SqliteOutbox(opener('sqliteOutbox()', database), readOutboxOptions('sqliteOutbox()', options))
}

interface Row {
  readonly id: number
  readonly message: string
}

class SqliteOutbox implements Outbox<DatabaseSync> {
  readonly #open: () => Promise<DatabaseSync>
  readonly #sql: ReturnType<typeof statements>
  #opened: DatabaseSync | undefined

  constructor(open: () => Promise<DatabaseSync>, { table }: Required<OutboxOptions>) {
    this.#open = open
    this.#sql = statements(table)
  }

  async add(database: DatabaseSync, message: string): Promise<void> {
    // Each time, since a table that was made in a transaction may have been rolled back with it.
    database.exec(this.#sql.create)
    database.prepare(this.#sql.add).run(message)
  }

  async relay(send: (messages: readonly string[]) => Promise<readonly Relayed[]>): Promise<number> {
    const database = (this.#opened ??= await this.#prepare())
    // Most looks find nothing, and then no writer has to wait for them.
    if (database.prepare(this.#sql.any).get() === undefined) return 0
    const rows = await write(database, () => this.#take(database))
    if (rows.length === 0) return 0
    const results = await send(rows.map(({ message }) => message))
    await write(database, () => {
      for (const [at, { id }] of rows.entries()) database.prepare(this.#sql[results[at] ?? 'kept']).run(id)
    })
    return rows.length
  }

  async #prepare(): Promise<DatabaseSync> {
    const database = await this.#open()
    await whenFree(() => database.exec(this.#sql.create))
    return database
  }

  /** None while another process is at some. */
  #take(database: DatabaseSync): readonly Row[] {
    const now = Date.now()
    if (database.prepare(this.#sql.taken).get(now) !== undefined) return []
    const rows = database.prepare(this.#sql.take).all(now + TAKEN_MS) as unknown as Row[]
    return rows.toSorted((a, b) => a.id - b.id)
  }
}

/** One transaction. */
async function write<T>(database: DatabaseSync, work: () => T): Promise<T> {
  await whenFree(() => database.exec('BEGIN IMMEDIATE'))
  try {
    const result = work()
    await whenFree(() => database.exec('COMMIT'))
    return result
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

/** Times in milliseconds since 1970. Ids are never given twice, or a new message could be taken for one that was sent. */
function statements(table: string) {
  return {
    create: `CREATE TABLE IF NOT EXISTS ${table} (id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT NOT NULL, taken_until INTEGER, refused INTEGER) STRICT`,
    add: `INSERT INTO ${table} (message) VALUES (?)`,
    any: `SELECT 1 FROM ${table} WHERE refused IS NULL LIMIT 1`,
    taken: `SELECT 1 FROM ${table} WHERE taken_until > ? LIMIT 1`,
    take: `UPDATE ${table} SET taken_until = ? WHERE id IN (SELECT id FROM ${table} WHERE refused IS NULL ORDER BY id LIMIT ${RELAYED_ROWS}) RETURNING id, message`,
    sent: `DELETE FROM ${table} WHERE id = ?`,
    kept: `UPDATE ${table} SET taken_until = NULL WHERE id = ?`,
    refused: `UPDATE ${table} SET taken_until = NULL, refused = 1 WHERE id = ?`,
  }
}
