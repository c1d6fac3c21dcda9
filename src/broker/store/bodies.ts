import { closeSync, fdatasyncSync, fsyncSync, mkdirSync, openSync, readdirSync, readSync, rmSync, statSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { BodySink, LargeBody } from '../engine/message.ts'

/** What is written of a body before it is synced, so that no sync stops the broker for long. Bytes. */
const SYNC_EVERY = 8 * 1024 * 1024
/** Rows with fewer bytes hold their bodies themselves, whatever the limit was when they were written. */
const NEVER_BELOW = 64 * 1024

/** Of a row: fewer bytes lie in it than belong to it, so its body is the name of a file. */
export const IS_LARGE = 'bytes > length(properties) + length(body)'

export const folderOf = (store: string): string => join(dirname(store), 'bodies')
export const nameOf = ({ id }: LargeBody): Uint8Array => Buffer.from(String(id))
export const idOf = (name: Uint8Array): number => Number(Buffer.from(name).toString())

/** Whether the file of a body is there with all its bytes. */
export function isWhole(store: string, id: number, size: number): boolean {
  return statSync(join(folderOf(store), String(id)), { throwIfNoEntry: false })?.size === size
}

/** The bodies rows refer to. The index holds how many bytes belong to a row, so that no other row is looked at. */
export function largeRows(db: DatabaseSync): { id: number; size: number }[] {
  const sql = `SELECT body, bytes - length(properties) AS size FROM message
    WHERE seq IN (SELECT seq FROM message WHERE bytes >= ${NEVER_BELOW}) AND ${IS_LARGE}`
  return db
    .prepare(sql)
    .all()
    .map((row) => ({ id: idOf(row['body'] as Uint8Array), size: Number(row['size']) }))
}

/**
 * Bodies too large for memory. Each lies in a file of its own beside the store; rows refer to it by its number, several when it
 * went to several queues. It goes with the last of them, or when a body that no row ever referred to is forgotten.
 */
export class Bodies {
  readonly #folder: string
  readonly #files = new Map<number, { readonly size: number; rows: number }>()
  readonly #forgotten = new FinalizationRegistry<number>((id) => {
    if (this.#files.get(id)?.rows === 0) this.#delete(id)
  })
  #last = 0

  /** Deletes what a life of the broker left that ended before it was stored. */
  constructor(store: string, rows: readonly { id: number; size: number }[]) {
    this.#folder = folderOf(store)
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    for (const { id, size } of rows) {
      const known = this.#files.get(id)
      if (known) known.rows++
      else this.#files.set(id, { size, rows: 1 })
      this.#last = Math.max(this.#last, id)
    }
    for (const name of readdirSync(this.#folder)) {
      this.#last = Math.max(this.#last, Number(name) || 0)
      if (!this.#files.has(Number(name))) rmSync(join(this.#folder, name))
    }
  }

  /** What they take on the disk. */
  get bytes(): number {
    let sum = 0
    for (const { size } of this.#files.values()) sum += size
    return sum
  }

  of(id: number, size: number): LargeBody {
    return { id, length: size, open: () => openReader(this.#path(id), size) }
  }

  receive(size: number): BodySink {
    const id = ++this.#last
    this.#files.set(id, { size, rows: 0 })
    return openSink(this.#path(id), {
      finish: () => {
        syncFolder(this.#folder)
        const body = this.of(id, size)
        this.#forgotten.register(body, id)
        return body
      },
      discard: () => this.#delete(id),
    })
  }

  /** After the commit: rows refer to it, or do not any more. */
  count(id: number, rows: 1 | -1): void {
    const file = this.#files.get(id)
    if (!file) return
    file.rows += rows
    if (file.rows === 0) this.#delete(id)
  }

  /** Deletes what no row refers to. */
  close(): void {
    for (const [id, { rows }] of this.#files) if (rows === 0) this.#delete(id)
  }

  #delete(id: number): void {
    this.#files.delete(id)
    rmSync(this.#path(id), { force: true })
  }

  #path(id: number): string {
    return join(this.#folder, String(id))
  }
}

/** Remembers the first thing that goes wrong until `finish`, since what arrives must be read to its end anyway. */
function openSink(path: string, then: { finish: () => LargeBody; discard: () => void }): BodySink {
  let file: number | undefined
  let problem: unknown
  let unsynced = 0
  const attempt = (work: () => void): void => {
    if (problem !== undefined) return
    try {
      work()
    } catch (error) {
      problem = error
    }
  }
  const close = (): void => {
    if (file !== undefined) closeSync(file)
    file = undefined
  }
  attempt(() => (file = openSync(path, 'wx', 0o600)))
  return {
    write(piece) {
      attempt(() => {
        if (file === undefined) return
        for (let at = 0; at < piece.length;) at += writeSync(file, piece, at)
        unsynced += piece.length
        if (unsynced < SYNC_EVERY) return
        fdatasyncSync(file)
        unsynced = 0
      })
    },
    finish() {
      attempt(() => file !== undefined && fdatasyncSync(file))
      close()
      let body: LargeBody | undefined
      attempt(() => (body = then.finish()))
      if (body) return body
      then.discard()
      throw problem
    },
    discard() {
      close()
      then.discard()
    },
  }
}

function openReader(path: string, size: number): ReturnType<LargeBody['open']> {
  const file = openSync(path, 'r')
  let at = 0
  return {
    get left() {
      return size - at
    },
    read(most) {
      const piece = Buffer.allocUnsafeSlow(Math.min(most, size - at))
      for (let have = 0; have < piece.length;) {
        const read = readSync(file, piece, have, piece.length - have, at + have)
        if (read === 0) throw new Error(`${path} ends after ${at + have} of ${size} bytes`)
        have += read
      }
      at += piece.length
      return piece
    },
    close: () => closeSync(file),
  }
}

/** So that the name of a new file is on the disk, too. */
function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
