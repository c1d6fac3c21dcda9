/** Connections to files of SQLite that never hold up the event loop for another writer, and what their errors mean. */
import type { DatabaseSync } from 'node:sqlite'
import { Transient } from '../../bus/outcome.ts'
import { sleep } from '../../core/clock.ts'
import { ConfigError, messageOf } from '../../core/errors.ts'
import { show } from '../../core/options.ts'

/** A path, or a function that opens a connection for nobody else. */
export type SqliteSource = string | (() => DatabaseSync)

/** Throws `ConfigError`. */
export function opener(subject: string, database: SqliteSource): () => Promise<DatabaseSync> {
  if (typeof database !== 'function' && (typeof database !== 'string' || database === ''))
    throw new ConfigError(subject, [{ path: 'database', expected: 'a path, or a function that opens one', got: show(database) }])
  return async () => (typeof database === 'function' ? database() : new (await import('node:sqlite')).DatabaseSync(database))
}

/** Between tries while another process writes. Milliseconds, at most. */
const BUSY_PAUSE_MS = 20

/** Not SQLite's own waiting, which would hold up the event loop. */
export async function whenFree(step: () => void, signal?: AbortSignal): Promise<void> {
  for (;;) {
    try {
      return step()
    } catch (error) {
      if (primaryCode(error) !== BUSY) throw error
    }
    await sleep(1 + Math.random() * BUSY_PAUSE_MS, signal && { signal })
  }
}

const BUSY = 5
/** Busy, locked, input or output error, disk full, cannot open (https://www.sqlite.org/rescode.html). */
const TRANSIENT: readonly (number | undefined)[] = [BUSY, 6, 10, 13, 14]

export const isTransient = (error: unknown): boolean => TRANSIENT.includes(primaryCode(error))

export const transient = (error: unknown): Transient => new Transient(`SQLite: ${messageOf(error)}`, { cause: error })

function primaryCode(error: unknown): number | undefined {
  const code: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, 'errcode') : undefined
  return typeof code === 'number' ? code & 0xff : undefined
}
