/** An outbox in PostgreSQL, through npm's `pg` or what has its pool's methods. */
import type { Outbox, Relayed } from '../../bus/outbox.ts'
import { type OutboxOptions, readOutboxOptions, RELAYED_ROWS } from '../options.ts'
import { ensureTable, heard, lent, type PostgresClient, type PostgresPool } from './client.ts'

/**
 * Events are written through any client that is in a transaction; a client of the pool looks for them. The table is created where it is
 * missing. Throws `ConfigError`.
 */
export function postgresOutbox<Client extends PostgresClient>(
  pool: PostgresPool<Client>,
  options: OutboxOptions = {},
): Outbox<Pick<Client, 'query'>> {
  return new PostgresOutbox(heard('postgresOutbox()', pool), readOutboxOptions('postgresOutbox()', options))
}

interface Row {
  readonly id: string
  readonly message: string
}

class PostgresOutbox<Client extends PostgresClient> implements Outbox<Pick<Client, 'query'>> {
  readonly #pool: PostgresPool<Client>
  readonly #table: string
  readonly #sql: ReturnType<typeof statements>
  #hasTable = false

  constructor(pool: PostgresPool<Client>, { table }: Required<OutboxOptions>) {
    this.#pool = pool
    this.#table = table
    this.#sql = statements(table)
  }

  async add(client: Pick<Client, 'query'>, message: string): Promise<void> {
    // Made in this transaction it may yet be rolled back.
    this.#hasTable ||= await ensureTable(client, this.#table, this.#sql.create)
    await client.query(this.#sql.add, [message])
  }

  relay(send: (messages: readonly string[]) => Promise<readonly Relayed[]>): Promise<number> {
    return lent(this.#pool, async (client) => {
      if (!this.#hasTable) await ensureTable(client, this.#table, this.#sql.create)
      this.#hasTable = true
      await client.query('BEGIN')
      const { rowCount: isOurs } = await client.query(this.#sql.lock)
      const rows = isOurs === 1 ? ((await client.query(this.#sql.oldest)).rows as readonly Row[]) : []
      if (rows.length > 0) {
        const results = await send(rows.map(({ message }) => message))
        const ids = (wanted: Relayed): string[] => rows.filter((_, at) => results[at] === wanted).map(({ id }) => id)
        await client.query(this.#sql.remove, [ids('sent')])
        await client.query(this.#sql.putAside, [ids('refused')])
      }
      await client.query('COMMIT')
      return rows.length
    })
  }
}

function statements(table: string) {
  return {
    create: `CREATE TABLE IF NOT EXISTS ${table} (id bigserial PRIMARY KEY, message text NOT NULL, refused_at timestamptz)`,
    add: `INSERT INTO ${table} (message) VALUES ($1)`,
    // Let go of with the transaction, and so also by the end of a process.
    lock: `SELECT 1 WHERE pg_try_advisory_xact_lock(hashtext('relay of ${table}'))`,
    oldest: `SELECT id, message FROM ${table} WHERE refused_at IS NULL ORDER BY id LIMIT ${RELAYED_ROWS}`,
    remove: `DELETE FROM ${table} WHERE id = ANY ($1::bigint[])`,
    putAside: `UPDATE ${table} SET refused_at = now() WHERE id = ANY ($1::bigint[])`,
  }
}
