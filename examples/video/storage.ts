import { Readable } from 'node:stream'
import { Disk } from 'flydrive'

/** Files by key, in a folder or on S3: the same promises on both. Keys are relative paths with `/`; `..` is refused. */
export interface Storage {
  /** It appears whole or not at all, and replaces what was there. Resolves when it is kept. `signal` gives it up and leaves nothing. */
  write(key: string, body: string | Uint8Array | Readable, options: { contentType: string; signal?: AbortSignal }): Promise<void>
  /** The text of a small file, or undefined where there is none. */
  read(key: string): Promise<string | undefined>
  stat(key: string): Promise<StoredFile | undefined>
  /** Both ends of `range` count, as in HTTP. Rejects when there is no such file. */
  open(key: string, range?: { start: number; end: number }): Promise<Readable>
  /** Keys directly under the folder, in no order. */
  list(folder: string): Promise<string[]>
  /** What is not there is no error. */
  remove(key: string): Promise<void>
  removeFolder(folder: string): Promise<void>
}

export interface StoredFile {
  readonly bytes: number
  readonly modified: Date
  readonly etag: string
}

/** What a driver adds to flydrive's own: writes that are whole or not there, streams of unknown length, parts of a file. */
export interface StorageDriver {
  readonly disk: Disk
  openRange(key: string, range: { start: number; end: number }): Promise<Readable>
}

/** Opens what STORAGE_URL names; see `Settings.storageUrl`. The S3 client is loaded only when asked for. */
export async function openStorage(url: string): Promise<Storage> {
  const driver = await openDriver(new URL(url))
  const { disk } = driver
  return {
    async write(key, body, { contentType, signal }) {
      const options = { contentType, ...(signal && { signal }) }
      await (body instanceof Readable ? disk.putStream(key, body, options) : disk.put(key, body, options))
    },
    read: (key) => unlessMissing(disk.get(key)),
    async stat(key) {
      const found = await unlessMissing(disk.getMetaData(key))
      return found && { bytes: found.contentLength, modified: found.lastModified, etag: found.etag }
    },
    open: (key, range) => (range ? driver.openRange(disk.file(key).key, range) : disk.getStream(key)),
    async list(folder) {
      const keys: string[] = []
      let paginationToken: string | undefined
      do {
        const page = await disk.listAll(folder, { recursive: false, ...(paginationToken && { paginationToken }) })
        for (const object of page.objects) if (object.isFile) keys.push(object.key)
        paginationToken = page.paginationToken
      } while (paginationToken)
      return keys
    },
    remove: (key) => disk.delete(key),
    // Disk.deleteAll drops the slash, and on S3 the prefix `a` would take `ab/` along.
    removeFolder: (folder) => disk.driver.deleteAll(`${disk.file(folder).key}/`),
  }
}

async function openDriver(url: URL): Promise<StorageDriver> {
  if (url.protocol === 's3:') return (await import('./storage/s3.ts')).openS3(url)
  return (await import('./storage/folder.ts')).openFolder(url)
}

async function unlessMissing<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result
  } catch (error) {
    if (causes(error).some(isMissing)) return undefined
    throw error
  }
}

/** flydrive's errors carry what really happened as their cause. */
export function causes(error: unknown): unknown[] {
  const chain: unknown[] = []
  for (let at = error; at !== undefined && at !== null && chain.length < 10; at = at instanceof Error ? at.cause : undefined) chain.push(at)
  return chain
}

/** No space left where a file was to be written: ENOSPC, or a quota (EDQUOT). */
export function isFull(error: unknown): boolean {
  return causes(error).some((cause) => ['ENOSPC', 'EDQUOT'].includes(String(codeOf(cause))))
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || (error instanceof Error && ['NoSuchKey', 'NotFound'].includes(error.name))
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
