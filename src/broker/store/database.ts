import { closeSync, existsSync, openSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { messageOf } from '../../core/errors.ts'
import { folderOf, isWhole, largeRows } from './bodies.ts'
import { StoreRefusedError } from './refused.ts'
import { isDamaged } from './wal.ts'

/** Tells our files from any other SQLite database: "Omni". */
const APPLICATION_ID = 0x4f6d6e69
export const VERSION = 4
export const PAGE_SIZE = 4096
/** A larger file is opened without reading all of it first. Bytes. */
const CHECK_LIMIT = 256 * 1024 * 1024

const REMEDY = '`omnibus broker --salvage` keeps it aside and brings everything intact over into a fresh one'

const MESSAGE_COLUMNS = `
  seq INTEGER PRIMARY KEY, queue INTEGER NOT NULL, lane INTEGER NOT NULL, bytes INTEGER NOT NULL, expires_at REAL,
  deliveries INTEGER NOT NULL DEFAULT 0, redelivered INTEGER NOT NULL DEFAULT 0,
  exchange TEXT NOT NULL, routing_key TEXT NOT NULL, properties BLOB NOT NULL, body BLOB NOT NULL`

const SCHEMA = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE exchange (
    name TEXT PRIMARY KEY, type TEXT NOT NULL, auto_delete INTEGER NOT NULL, internal INTEGER NOT NULL, arguments BLOB NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE queue (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, auto_delete INTEGER NOT NULL, arguments BLOB NOT NULL);
  CREATE TABLE binding (
    exchange TEXT NOT NULL, queue TEXT NOT NULL, routing_key TEXT NOT NULL, arguments BLOB NOT NULL,
    PRIMARY KEY (exchange, queue, routing_key, arguments)
  ) WITHOUT ROWID;
  CREATE INDEX binding_queue ON binding (queue);
  CREATE TABLE message (${MESSAGE_COLUMNS});
  CREATE INDEX message_place ON message (queue, lane, seq, bytes);
`

/** What later versions added to the schema, by the version that did; a new file gets it all. */
const ADDED: ReadonlyMap<number, string> = new Map([
  [
    2,
    `CREATE TABLE exchange_binding (
       source TEXT NOT NULL, destination TEXT NOT NULL, routing_key TEXT NOT NULL, arguments BLOB NOT NULL,
       PRIMARY KEY (source, destination, routing_key, arguments)
     ) WITHOUT ROWID;
     CREATE INDEX exchange_binding_destination ON exchange_binding (destination);`,
  ],
  [3, 'CREATE TABLE dropped (queue INTEGER NOT NULL, lane INTEGER NOT NULL, after INTEGER NOT NULL, upto INTEGER NOT NULL);'],
  // Rows that refer to bodies in files of their own.
  [4, ''],
])

/** What does not survive a restart but does not fit into memory: SQLite's own temporary file, never synced. */
const TEMPORARY = `
  CREATE TEMP TABLE spill (${MESSAGE_COLUMNS});
  CREATE INDEX temp.spill_place ON spill (queue, lane, seq, bytes);
`

/**
 * Opens the database, or creates it where there is none. Throws `StoreRefusedError`, with the file untouched, when it is
 * not ours, newer, or damaged. While it is open, nothing else in the process may open or close the file: closing any
 * descriptor of it would drop the locks SQLite holds on it (POSIX fcntl locks belong to the process).
 */
export function openDatabase(path: string, logPages: number): DatabaseSync {
  const version = process.versions['sqlite'] ?? 'unknown'
  if (!isSafe(version))
    throw new StoreRefusedError(path, `needs SQLite 3.51.3 or newer, which does not damage its log; this Node has ${version}`)
  if (existsSync(markOf(path)))
    throw new StoreRefusedError(path, `is being salvaged, which was interrupted; run \`omnibus broker --salvage\` again`)
  if (!existsSync(path)) {
    if (existsSync(`${path}-wal`)) throw new StoreRefusedError(path, `is missing, though its write-ahead log ${path}-wal is there`)
    create(path)
  }
  try {
    assertSound(path, CHECK_LIMIT)
    const db = new DatabaseSync(path)
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = ${logPages}`)
    db.exec(`PRAGMA journal_size_limit = ${logPages * 2 * PAGE_SIZE}`)
    // Without these two a confirm would promise what is not on disk.
    expectPragma(db, path, 'journal_mode', 'wal')
    expectPragma(db, path, 'synchronous', 2)
    migrate(db)
    db.exec(TEMPORARY)
    return db
  } catch (error) {
    if (error instanceof StoreRefusedError) throw error
    throw new StoreRefusedError(path, `cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

/** Whether it has the fix of the bug that damages a log which two connections begin anew at once (https://www.sqlite.org/wal.html#walresetbug). */
export function isSafe(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  if (major !== 3) return major > 3
  if (minor > 51) return true
  return (minor === 51 && patch >= 3) || (minor === 50 && patch >= 7) || (minor === 44 && patch >= 6)
}

/** Makes it whole beside its place first, so that a file without contents can never be taken for a fresh store. */
function create(path: string): void {
  const fresh = `${path}.new`
  try {
    removeFresh(fresh)
    createFresh(fresh).close()
    renameSync(fresh, path)
  } catch (error) {
    throw new StoreRefusedError(path, `cannot be created: ${messageOf(error)}`, { cause: error })
  }
}

/** What an interrupted creation left. */
export function removeFresh(path: string): void {
  for (const suffix of ['', '-journal', '-wal', '-shm']) rmSync(path + suffix, { force: true })
}

/** An empty store in a file that must not be there yet. */
export function createFresh(path: string): DatabaseSync {
  closeSync(openSync(path, 'wx', 0o600))
  const db = new DatabaseSync(path)
  // The log before all else: a kill in the change to it would leave a journal that no reader may roll back.
  db.exec(
    `PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${VERSION}; PRAGMA journal_mode = WAL`,
  )
  db.exec(`BEGIN; ${SCHEMA} ${[...ADDED.values()].join(' ')} COMMIT`)
  return db
}

/** The file that says that a salvage is under way, or was interrupted. */
export const markOf = (path: string): string => `${path}.salvage`

/** Brings the file of an older version to this one, in one transaction for each step. */
function migrate(db: DatabaseSync): void {
  const from = Number(pragma(db, 'user_version'))
  for (const [version, sql] of ADDED) {
    if (version > from) db.exec(`BEGIN IMMEDIATE; ${sql} PRAGMA user_version = ${version}; COMMIT`)
  }
}

/** Throws `StoreRefusedError` when it is not ours, newer, or damaged. Contents of more than `checkLimit` bytes are not read. */
export function assertSound(path: string, checkLimit: number): void {
  // Before SQLite looks at them: it would delete the log of an empty file.
  if (statSync(path).size === 0) throw new StoreRefusedError(path, 'is not a store of this broker: it is empty')
  // And it would end a damaged log at the damage, and say nothing of the messages behind it.
  const log = `${path}-wal`
  if (existsSync(log) && isDamaged(readFileSync(log), PAGE_SIZE)) {
    throw new StoreRefusedError(path, `is damaged: its write-ahead log ${log} has wrong checksums before its end. ${REMEDY}`)
  }
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    const id = pragma(db, 'application_id')
    if (id !== APPLICATION_ID) throw new StoreRefusedError(path, `is not a store of this broker (application id ${String(id)})`)
    const version = Number(pragma(db, 'user_version'))
    if (version > VERSION) {
      throw new StoreRefusedError(path, `was written by a newer version (store version ${version}, this one knows up to ${VERSION})`)
    }
    const size = Number(pragma(db, 'page_count')) * Number(pragma(db, 'page_size'))
    if (version >= 4) {
      const missing = largeRows(db).find((body) => !isWhole(path, body.id, body.size))
      if (missing) {
        throw new StoreRefusedError(path, `is damaged: the body in ${join(folderOf(path), String(missing.id))} is not whole. ${REMEDY}`)
      }
    }
    if (size > checkLimit) return
    const result = pragma(db, 'quick_check(1)')
    if (result !== 'ok') throw new StoreRefusedError(path, `is damaged: ${String(result)}. ${REMEDY}`)
  } finally {
    db.close()
  }
}

function expectPragma(db: DatabaseSync, path: string, name: string, expected: string | number): void {
  const got = pragma(db, name)
  if (got !== expected) throw new StoreRefusedError(path, `cannot be used safely: ${name} is ${String(got)}, but ${expected} is needed`)
}

export function pragma(db: DatabaseSync, name: string): unknown {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0]
}
