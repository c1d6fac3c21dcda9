/** The databases whose inboxes and outboxes keep one contract, each with a table of effects that handlers write. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Pool, type PoolClient } from 'pg'
import { onTestFinished } from 'vitest'
import { type Inbox, type InboxOptions, type Outbox, postgresInbox, postgresOutbox, sqliteInbox, sqliteOutbox } from '../../src/index.ts'
import { tempDir } from '../support/run-folder.ts'
import { hasPostgres, sharedPostgres } from '../support/shared-postgres.ts'

/** What one process of a consumer has. */
export interface Instance<Transaction = unknown> {
  readonly inbox: Inbox<Transaction>
  readonly outbox: Outbox<Transaction>
  /** As a handler does. */
  readonly write: (transaction: Transaction, effect: string) => Promise<void>
  /** As a request does: committed, or rolled back where `work` rejects. */
  readonly transact: (work: (transaction: Transaction) => Promise<void>) => Promise<void>
}

/** A new database. */
export interface Place<Transaction = unknown> {
  readonly instance: (options?: InboxOptions) => Instance<Transaction>
  /** Effects that are there, in order of their names. */
  readonly effects: () => Promise<string[]>
  /** Messages that are remembered. */
  readonly remembered: () => Promise<number>
}

export interface Database<Transaction> {
  readonly name: string
  readonly available: boolean
  readonly place: () => Promise<Place<Transaction>>
}

export const sqlite: Database<DatabaseSync> = {
  name: 'SQLite',
  available: true,
  async place() {
    const file = join(tempDir('inbox'), 'effects.db')
    const own = new DatabaseSync(file)
    own.exec('PRAGMA journal_mode = WAL; CREATE TABLE effects (effect TEXT)')
    const column = (sql: string): unknown[] =>
      own
        .prepare(sql)
        .all()
        .map((row) => Object.values(row)[0])
    return {
      instance: (options) => ({
        inbox: sqliteInbox(file, options),
        outbox: sqliteOutbox(file),
        write: async (database, effect) => void database.prepare('INSERT INTO effects VALUES (?)').run(effect),
        async transact(work) {
          using database = new DatabaseSync(file, { timeout: 10_000 })
          database.exec('BEGIN IMMEDIATE')
          await work(database)
          database.exec('COMMIT')
        },
      }),
      effects: async () => column('SELECT effect FROM effects ORDER BY effect').map(String),
      remembered: async () => Number(column('SELECT count(*) FROM omnibus_inbox')[0]),
    }
  },
}

export const postgres: Database<PoolClient> = {
  name: 'PostgreSQL',
  available: hasPostgres(),
  place: async () => postgresAt(await sharedPostgres()),
}

/** In a schema of its own on that server. */
export async function postgresAt(url: string): Promise<Place<PoolClient>> {
  const schema = `inbox_${randomUUID().replaceAll('-', '')}`
  const open = (): Pool => {
    const pool = new Pool({ connectionString: url, options: `-c search_path=${schema}` })
    pool.on('error', () => undefined)
    onTestFinished(() => pool.end())
    return pool
  }
  const own = open()
  await own.query(`CREATE SCHEMA ${schema}; CREATE TABLE effects (effect text)`)
  const column = async (sql: string): Promise<unknown[]> => (await own.query<{ value: unknown }>(sql)).rows.map(({ value }) => value)
  return {
    instance(options) {
      const pool = open()
      return {
        inbox: postgresInbox(pool, options),
        outbox: postgresOutbox(pool),
        write: async (client, effect) => void (await client.query('INSERT INTO effects VALUES ($1)', [effect])),
        async transact(work) {
          const client = await pool.connect()
          try {
            await client.query('BEGIN')
            await work(client)
            await client.query('COMMIT')
          } catch (error) {
            await client.query('ROLLBACK')
            throw error
          } finally {
            client.release()
          }
        },
      }
    },
    effects: async () => (await column('SELECT effect AS value FROM effects ORDER BY effect')).map(String),
    remembered: async () => Number((await column('SELECT count(*) AS value FROM omnibus_inbox'))[0]),
  }
}
