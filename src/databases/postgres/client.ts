/** What is needed of npm's `pg`, and what its errors mean. Its types are here by their shape, so that nothing of it is loaded. */
import { ConfigError, messageOf } from '../../core/errors.ts'
import { show } from '../../core/options.ts'
import { Transient } from '../../bus/outcome.ts'

/** A client that a pool lends, as `pg` has it. */
export interface PostgresClient {
  query(text: string, values?: unknown[]): Promise<PostgresResult>
  /** True closes its connection. */
  release(destroy?: boolean): void
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
}

interface PostgresResult {
  readonly command: string
  readonly rowCount: number | null
  readonly rows: readonly unknown[]
}

export interface PostgresPool<Client> {
  connect(): Promise<Client>
  /** Not called; `Client` is known by it from the type of `pg`'s pool. */
  connect(callback: (error: Error | undefined, client: Client | undefined, done: (destroy?: unknown) => void) => void): void
  on(event: 'error', listener: (error: Error) => void): unknown
}

/** Throws `ConfigError` for what is no pool. */
export function heard<Client>(subject: string, pool: PostgresPool<Client>): PostgresPool<Client> {
  if (typeof pool?.connect !== 'function')
    throw new ConfigError(subject, [{ path: 'pool', expected: "a pool, such as pg's new Pool()", got: show(pool) }])
  // It drops an idle client whose server has gone, and tells of it in an event that ends the process when nobody hears it.
  pool.on('error', ignore)
  return pool
}

/**
 * Lends a client to `work`. Where that fails its connection is closed, unless it has called `keep`: who knows what state it is in. Rejects
 * with `Transient` where there is no client to be had.
 */
export async function lent<Client extends PostgresClient, T>(
  pool: PostgresPool<Client>,
  work: (client: Client, keep: () => void) => Promise<T>,
): Promise<T> {
  const client = await pool.connect().catch(rethrow)
  // What breaks it between two statements shows in the next one.
  client.on('error', ignore)
  let reusable = false
  try {
    const result = await work(client, () => (reusable = true))
    reusable = true
    return result
  } finally {
    client.removeListener('error', ignore)
    client.release(!reusable)
  }
}

/**
 * Creates a table where there is none, and there alone: whoever has made it may have left us no right to. Resolves true where it was
 * there before, and so will be after any rollback.
 */
export async function ensureTable(client: Pick<PostgresClient, 'query'>, table: string, create: string): Promise<boolean> {
  const { rowCount } = await client.query(`SELECT 1 WHERE to_regclass('${table}') IS NOT NULL`)
  if (rowCount === 1) return true
  // Two that create one table at a time may both fail without the lock.
  await client.query(`SELECT pg_advisory_xact_lock(hashtext('${table}')); ${create}`).catch((error: unknown) => {
    throw new Error(`${messageOf(error)}; create it beforehand: ${create}`, { cause: error })
  })
  return false
}

/** Of an index of that table. */
export const indexOf = (table: string, column: string): string => `${table.replace(/.*\./, '')}_${column}`

export const ignore = (): void => {}

export function rethrow(error: unknown): never {
  throw transient(error)
}

export const transient = (error: unknown): Transient => new Transient(`PostgreSQL: ${messageOf(error)}`, { cause: error })

interface Told {
  readonly severity: string
  readonly code: string
}

/** The server's own words, and not the network's. */
export const isTold = (error: unknown): error is Told =>
  typeof error === 'object' && error !== null && 'severity' in error && 'code' in error

/**
 * Connection lost, transaction rolled back by a deadlock or for its isolation, no room, shutting down
 * (https://www.postgresql.org/docs/current/errcodes-appendix.html).
 */
export const isTransient = (error: unknown): boolean => isTold(error) && /^(08|40|53|57P)/.test(error.code)
