/** An inbox in PostgreSQL, through npm's `pg` or what has its pool's methods. */
import { ConfigError, HandlerError, messageOf } from '../core/errors.ts'
import { show } from '../core/options.ts'
import type { Inbox, InboxKey } from '../bus/inbox.ts'
import { Transient } from '../bus/outcome.ts'
import { type InboxOptions, readInboxOptions, SWEEP_EVERY, SWEEP_ROWS } from './table.ts'

/** A client that a pool lends, as `pg` has it. */
export interface PostgresClient {
  query(text: string, values?: unknown[]): Promise<{ readonly command: string; readonly rowCount: number | null }>
  /** True closes its connection. */
  release(destroy?: boolean): void
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
}

export interface PostgresPool<Client> {
  connect(): Promise<Client>
  /** Not called; `Client` is known by it from the type of `pg`'s pool. */
  connect(callback: (error: Error | undefined, client: Client | undefined, done: (destroy?: unknown) => void) => void): void
  on(event: 'error', listener: (error: Error) => void): unknown
}

/**
 * Handlers get a client of the pool, in a transaction of their own; the pool needs as many as the consumer's concurrency, and those that
 * handlers take besides. The table is created where it is missing. Throws `ConfigError`.
 */
export function postgresInbox<Client extends PostgresClient>(pool: PostgresPool<Client>, options: InboxOptions = {}): Inbox<Client> {
  if (typeof pool?.connect !== 'function')
    throw new ConfigError('postgresInbox()', [{ path: 'pool', expected: "a pool, such as pg's new Pool()", got: show(pool) }])
  return new PostgresInbox(pool, readInboxOptions('postgresInbox()', options))
}

class PostgresInbox<Client extends PostgresClient> implements Inbox<Client> {
  readonly #pool: PostgresPool<Client>
  readonly #sql: ReturnType<typeof statements>
  #hasTable = false
  /** Messages handled. */
  #count = 0

  constructor(pool: PostgresPool<Client>, options: Required<InboxOptions>) {
    this.#pool = pool
    this.#sql = statements(options)
    // The pool drops an idle client whose server has gone, and tells of it in an event that ends the process when nobody hears it.
    pool.on('error', ignore)
  }

  async once(key: InboxKey, work: (client: Client) => Promise<void>, signal: AbortSignal): Promise<'handled' | 'duplicate'> {
    const client = await this.#pool.connect().catch(rethrow)
    // What breaks it between two statements shows in the next one.
    client.on('error', ignore)
    let reusable = false
    try {
      // The mark waits for the end of another copy's transaction, and so for as long as its handler takes.
      const isNew = await untilAborted(this.#begin(client, key).catch(rethrow), signal)
      if (isNew) {
        await work(client).catch(async (error: unknown) => {
          // Its time is over, and it may still be at it: on this connection nobody else is safe from it.
          if (signal.aborted) throw error
          await client.query('ROLLBACK').catch(() => rethrow(error))
          reusable = true
          throw isTransient(error) ? transient(error) : error
        })
        await commit(client)
        if (this.#count++ % SWEEP_EVERY === 0) await client.query(this.#sql.sweep).catch(ignore)
      } else await client.query('ROLLBACK').catch(rethrow)
      reusable = true
      return isNew ? 'handled' : 'duplicate'
    } finally {
      client.removeListener('error', ignore)
      client.release(!reusable)
    }
  }

  /** Resolves true when the key is marked now, and was not before. */
  async #begin(client: Client, { queue, source, id }: InboxKey): Promise<boolean> {
    if (!this.#hasTable) await this.#createTable(client)
    await client.query('BEGIN')
    const { rowCount } = await client.query(this.#sql.mark, [queue, source, id])
    return rowCount === 1
  }

  /** Only where there is none: whoever has made it may have left us no right to. */
  async #createTable(client: Client): Promise<void> {
    const { create, exists } = this.#sql
    const { rowCount } = await client.query(exists)
    if (rowCount === 0) {
      await client.query(create).catch((error: unknown) => {
        throw new Error(`${messageOf(error)}; create it beforehand: ${create}`, { cause: error })
      })
    }
    this.#hasTable = true
  }
}

function statements({ table, windowMs }: Required<InboxOptions>) {
  return {
    exists: `SELECT 1 WHERE to_regclass('${table}') IS NOT NULL`,
    // Two that create one table at a time may both fail without the lock.
    create: `SELECT pg_advisory_xact_lock(hashtext('${table}')); CREATE TABLE IF NOT EXISTS ${table} (queue text, source text, id text, handled_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (queue, source, id)); CREATE INDEX IF NOT EXISTS ${table.replace(/.*\./, '')}_handled_at ON ${table} (handled_at)`,
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

const ignore = (): void => {}

function rethrow(error: unknown): never {
  throw transient(error)
}

const transient = (error: unknown): Transient => new Transient(`PostgreSQL: ${messageOf(error)}`, { cause: error })

interface Told {
  readonly severity: string
  readonly code: string
}

/** The server's own words, and not the network's. */
const isTold = (error: unknown): error is Told => typeof error === 'object' && error !== null && 'severity' in error && 'code' in error

/**
 * Connection lost, transaction rolled back by a deadlock or for its isolation, no room, shutting down
 * (https://www.postgresql.org/docs/current/errcodes-appendix.html).
 */
const isTransient = (error: unknown): boolean => isTold(error) && /^(08|40|53|57P)/.test(error.code)

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
