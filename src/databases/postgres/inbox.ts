/** An inbox in PostgreSQL, through npm's `pg` or what has its pool's methods. */
import { HandlerError } from '../../core/errors.ts'
import type { Inbox, InboxKey } from '../../bus/inbox.ts'
import { type InboxOptions, readInboxOptions, SWEEP_EVERY, SWEEP_ROWS } from '../options.ts'
import {
  ensureTable,
  heard,
  ignore,
  indexOf,
  isTold,
  isTransient,
  lent,
  type PostgresClient,
  type PostgresPool,
  rethrow,
  transient,
} from './client.ts'

/**
 * Handlers get a client of the pool, in a transaction of their own; the pool needs as many as the consumer's concurrency, and those that
 * handlers take besides. The table is created where it is missing. Throws `ConfigError`.
 */
export function postgresInbox<Client extends PostgresClient>(pool: PostgresPool<Client>, options: InboxOptions = {}): Inbox<Client> {
  return new PostgresInbox(heard('postgresInbox()', pool), readInboxOptions('postgresInbox()', options))
}

class PostgresInbox<Client extends PostgresClient> implements Inbox<Client> {
  readonly #pool: PostgresPool<Client>
  readonly #table: string
  readonly #sql: ReturnType<typeof statements>
  #hasTable = false
  /** Messages handled. */
  #count = 0

  constructor(pool: PostgresPool<Client>, options: Required<InboxOptions>) {
    this.#pool = pool
    this.#table = options.table
    this.#sql = statements(options)
  }

  once(key: InboxKey, work: (client: Client) => Promise<void>, signal: AbortSignal): Promise<'handled' | 'duplicate'> {
    return lent(this.#pool, async (client, keep) => {
      // The mark waits for the end of another copy's transaction, and so for as long as its handler takes.
      if (!(await untilAborted(this.#begin(client, key).catch(rethrow), signal))) {
        await client.query('ROLLBACK').catch(rethrow)
        return 'duplicate'
      }
      await work(client).catch(async (error: unknown) => {
        // Its time is over, and it may still be at it: on this connection nobody else is safe from it.
        if (signal.aborted) throw error
        await client.query('ROLLBACK').catch(() => rethrow(error))
        keep()
        throw isTransient(error) ? transient(error) : error
      })
      await commit(client)
      if (this.#count++ % SWEEP_EVERY === 0) await client.query(this.#sql.sweep).catch(ignore)
      return 'handled'
    })
  }

  /** Resolves true when the key is marked now, and was not before. */
  async #begin(client: Client, { queue, source, id }: InboxKey): Promise<boolean> {
    if (!this.#hasTable) await ensureTable(client, this.#table, this.#sql.create)
    this.#hasTable = true
    await client.query('BEGIN')
    const { rowCount } = await client.query(this.#sql.mark, [queue, source, id])
    return rowCount === 1
  }
}

function statements({ table, windowMs }: Required<InboxOptions>) {
  return {
    create: `CREATE TABLE IF NOT EXISTS ${table} (queue text, source text, id text, handled_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (queue, source, id)); CREATE INDEX IF NOT EXISTS ${indexOf(table, 'handled_at')} ON ${table} (handled_at)`,
    mark: `INSERT INTO ${table} (queue, source, id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
    sweep: `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ${table} WHERE handled_at < now() - make_interval(secs => ${windowMs / 1_000}) LIMIT ${SWEEP_ROWS} FOR UPDATE SKIP LOCKED))`,
  }
}

async function commit(client: PostgresClient): Promise<void> {
  const { command } = await client.query('COMMIT').catch((error: unknown) => {
    // A constraint that is checked now is the handler's fault. Without a word from the server it is not known whether it has committed: the mark will tell.
    throw isTold(error) && !isTransient(error) ? error : transient(error)
  })
  // PostgreSQL's answer to the commit of a transaction that has failed.
  if (command === 'ROLLBACK')
    throw new HandlerError('A statement in the transaction had failed, and the handler went on: all is rolled back')
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
