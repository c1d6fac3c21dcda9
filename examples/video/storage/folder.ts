import { randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { Disk } from 'flydrive'
import { FSDriver } from 'flydrive/drivers/fs'
import type { WriteOptions } from 'flydrive/types'
import { ownMark, sweep } from '../leftovers.ts'
import type { StorageDriver } from '../storage.ts'

const PARTIAL = '.partial'

/** A folder, created when needed. Unfinished files of processes that died are removed first. */
export async function openFolder(url: URL): Promise<StorageDriver> {
  const root = fileURLToPath(url)
  await mkdir(join(root, PARTIAL), { recursive: true })
  await sweep(join(root, PARTIAL))
  return {
    disk: new Disk(new WholeFiles(root, await ownMark())),
    openRange: async (key, { start, end }) => createReadStream(join(root, key), { start, end }),
  }
}

/** flydrive writes in place; here a file is written aside, flushed to the disk and then moved under its name. */
class WholeFiles extends FSDriver {
  readonly #root: string
  readonly #mark: string

  constructor(root: string, mark: string) {
    super({ location: root, visibility: 'private' })
    this.#root = root
    this.#mark = mark
  }

  override put(key: string, contents: string | Uint8Array, options?: WriteOptions): Promise<void> {
    return this.putStream(key, Readable.from([contents]), options)
  }

  override async putStream(key: string, contents: Readable, options?: WriteOptions): Promise<void> {
    const partial = join(this.#root, PARTIAL, `${this.#mark}-${randomUUID()}`)
    const target = join(this.#root, key)
    const signal: unknown = options?.['signal']
    try {
      await pipeline(contents, createWriteStream(partial, { flags: 'wx', flush: true }), signal instanceof AbortSignal ? { signal } : {})
      await mkdir(dirname(target), { recursive: true })
      await rename(partial, target)
      await flushFolder(dirname(target))
    } catch (error) {
      await rm(partial, { force: true })
      throw error
    }
  }
}

/** Without it the new name may be lost with the power, although the file's bytes are not (fsync(2), NOTES). */
async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
