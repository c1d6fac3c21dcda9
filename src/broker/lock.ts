import { closeSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { messageOf } from '../core/errors.ts'
import { StoreRefusedError } from './store/refused.ts'

export interface OwnerLock {
  release(): void
}

const SQLITE_BUSY = 5

/**
 * Takes the folder's owner lock, or returns undefined when somebody holds it. It is SQLite's exclusive lock on a tiny
 * database of its own, which the kernel frees however the holder ends. Throws `StoreRefusedError`.
 */
export function takeLock(path: string): OwnerLock | undefined {
  createPrivate(path)
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(path, { timeout: 0 })
    db.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    const held = db
    return { release: () => held.close() }
  } catch (error) {
    db?.close()
    if (error instanceof Error && (Number(Reflect.get(error, 'errcode')) & 0xff) === SQLITE_BUSY) return undefined
    throw new StoreRefusedError(path, `cannot be locked: ${messageOf(error)}`, { cause: error })
  }
}

function createPrivate(path: string): void {
  try {
    // Never opens a file that exists: closing it again would drop a lock this process may hold on it.
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if (error instanceof Error && Reflect.get(error, 'code') === 'EEXIST') return
    throw new StoreRefusedError(path, `cannot be created: ${messageOf(error)}`, { cause: error })
  }
}
