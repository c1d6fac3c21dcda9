import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { messageOf } from '../../core/errors.ts'
import { assertSound, createFresh, markOf, PAGE_SIZE, removeFresh } from './database.ts'
import type { Pages } from './pages.ts'
import { StoreRefusedError } from './refused.ts'
import { type Counts, fillFresh } from './salvage-rows.ts'
import { newestPages } from './wal.ts'

export interface Salvage extends Counts {
  /** Where the damaged file is now, with its log beside it under the same name; absent when nothing was wrong with it. */
  readonly aside: string | undefined
}

/**
 * Puts a damaged store aside and everything in it that is intact into a fresh one in its place; a sound store is left alone.
 * May be repeated when it was interrupted. Only for the holder of the folder's lock, with the store not open anywhere.
 * Throws `StoreRefusedError`, with the file untouched, when it is not ours, newer, or not there.
 */
export function salvageStore(path: string, now: Date): Salvage {
  const mark = markOf(path)
  try {
    if (!existsSync(mark)) {
      if (!existsSync(path) && !existsSync(`${path}-wal`)) throw new StoreRefusedError(path, 'is not there, so there is nothing to salvage')
      if (isSound(path)) return { aside: undefined, queues: 0, exchanges: 0, bindings: 0, messages: 0, damaged: 0 }
      // Refused here, before anything is moved.
      removeFresh(`${path}.new`)
      const counts = copyInto(`${path}.new`, path)
      const aside = freeName(`${path}.damaged-${now.toISOString().replaceAll(/[-:]|\.\d+/g, '')}`)
      writeFileSync(mark, aside, { mode: 0o600 })
      finish(path, aside)
      return { aside, ...counts }
    }
    const aside = readFileSync(mark, 'utf8')
    // The moves had begun, and what was copied may not have been whole.
    moveAside(path, aside)
    removeFresh(`${path}.new`)
    const counts = copyInto(`${path}.new`, aside)
    finish(path, aside)
    return { aside, ...counts }
  } catch (error) {
    if (error instanceof StoreRefusedError) throw error
    throw new StoreRefusedError(path, `cannot be salvaged: ${messageOf(error)}`, { cause: error })
  }
}

/** While the mark is there nobody opens the store, so that no log ever meets a main file that is not its own. */
function finish(path: string, aside: string): void {
  moveAside(path, aside)
  renameSync(`${path}.new`, path)
  rmSync(markOf(path))
}

function moveAside(path: string, aside: string): void {
  // A main file that is there again is the fresh one: only the mark was left to remove.
  if (!existsSync(aside)) {
    if (existsSync(path)) renameSync(path, aside)
    else writeFileSync(aside, '', { mode: 0o600 })
  }
  if (existsSync(`${path}-wal`)) renameSync(`${path}-wal`, `${aside}-wal`)
  // Only an index of the log.
  rmSync(`${path}-shm`, { force: true })
}

function isSound(path: string): boolean {
  if (!existsSync(path)) return false
  try {
    assertSound(path, Infinity)
    return true
  } catch {
    return false
  }
}

function freeName(base: string): string {
  for (let n = 1; ; n++) {
    const name = n === 1 ? base : `${base}-${n}`
    if (!existsSync(name) && !existsSync(`${name}-wal`)) return name
  }
}

function copyInto(fresh: string, source: string): Counts {
  const log = existsSync(`${source}-wal`) ? newestPages(readFileSync(`${source}-wal`), PAGE_SIZE) : undefined
  const file = existsSync(source) ? openSync(source, 'r') : undefined
  const inFile = file === undefined ? 0 : Math.floor(fstatSync(file).size / PAGE_SIZE)
  const pages: Pages = {
    size: log && log.size > 0 ? log.size : inFile,
    pageSize: PAGE_SIZE,
    get(page) {
      const newer = log?.pages.get(page)
      if (newer || file === undefined || page > inFile || page < 1) return newer
      const data = Buffer.allocUnsafe(PAGE_SIZE)
      return readSync(file, data, 0, PAGE_SIZE, (page - 1) * PAGE_SIZE) === PAGE_SIZE ? data : undefined
    },
  }
  const db = createFresh(fresh)
  try {
    const counts = fillFresh(db, pages, source)
    return { ...counts, damaged: counts.damaged + (log?.damaged ?? 0) }
  } catch (error) {
    db.close()
    removeFresh(fresh)
    throw error
  } finally {
    if (db.isOpen) db.close()
    if (file !== undefined) closeSync(file)
  }
}
