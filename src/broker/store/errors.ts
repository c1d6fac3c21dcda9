import { StoreFailedError, StoreFullError } from '../engine/store.ts'

const SQLITE_FULL = 13
/** The log's index could not grow: the disk is full as well. */
const SQLITE_IOERR_SHMSIZE = 4874

/** What an error of SQLite means for the engine. */
export function classified(error: unknown): unknown {
  if (error instanceof StoreFailedError) return error
  const code = error instanceof Error ? Number(Reflect.get(error, 'errcode')) : 0
  if ((code & 0xff) === SQLITE_FULL || code === SQLITE_IOERR_SHMSIZE) {
    return new StoreFullError(`the disk of the broker is full (${String(Reflect.get(error as Error, 'errstr'))})`, { cause: error })
  }
  return new StoreFailedError(`the store of the broker failed: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
}
