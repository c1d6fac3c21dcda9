import type { VideoRecord } from './record.ts'
import type { Storage } from './storage.ts'

/** The records of all videos: one small file each. */
export interface Catalog {
  read(id: string): Promise<VideoRecord | undefined>
  write(record: VideoRecord): Promise<void>
  remove(id: string): Promise<void>
  /** Newest first, from the one before `before` on. Ids begin with their time, so only what is shown is read. */
  list(options: { limit: number; before?: string }): Promise<VideoRecord[]>
}

export function openCatalog(storage: Storage): Catalog {
  const key = (id: string): string => `records/${id}.json`
  const read = async (id: string): Promise<VideoRecord | undefined> => {
    const text = await storage.read(key(id))
    return text === undefined ? undefined : (JSON.parse(text) as VideoRecord)
  }
  return {
    read,
    write: (record) => storage.write(key(record.id), JSON.stringify(record), { contentType: 'application/json' }),
    remove: (id) => storage.remove(key(id)),
    async list({ limit, before }) {
      const ids = (await storage.list('records')).map((path) => path.slice('records/'.length, -'.json'.length))
      const wanted = ids.filter((id) => before === undefined || id < before).toSorted((a, b) => (a < b ? 1 : -1))
      const records = await Promise.all(wanted.slice(0, limit).map(read))
      return records.filter((record) => record !== undefined)
    },
  }
}
