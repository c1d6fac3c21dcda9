import { mkdir, mkdtemp, readdir, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { ownMark, sweep } from './leftovers.ts'

export interface WorkFolders {
  /**
   * Runs `work` with a folder of its own, which is gone afterwards. Beyond `maxBytes` the signal it gets aborts and all
   * ends in `TooMuchWork`. Rejects with `DiskFull` before it starts where `expectedBytes` do not fit.
   */
  use<T>(expectedBytes: number, signal: AbortSignal, work: (folder: string, signal: AbortSignal) => Promise<T>): Promise<T>
}

/** For now there is no room; later there may be. */
export class DiskFull extends Error {
  override readonly name = 'DiskFull'
}

/** This one needs more than it may ever have. */
export class TooMuchWork extends Error {
  override readonly name = 'TooMuchWork'
}

const WATCH_MS = 500

/** Temporary folders under `root`; what processes left that are no more is removed first. */
export async function openWorkFolders(root: string, maxBytes: number): Promise<WorkFolders> {
  await mkdir(root, { recursive: true })
  await sweep(root)
  const mark = await ownMark()
  return {
    async use(expectedBytes, signal, work) {
      const tooMuch = new TooMuchWork(`It needs more than the ${megabytes(maxBytes)} of temporary space a video may use.`)
      if (expectedBytes > maxBytes) throw tooMuch
      const { bavail, bsize } = await statfs(root)
      if (bavail * bsize < expectedBytes)
        throw new DiskFull(`The temporary disk is full: ${megabytes(expectedBytes)} are needed, ${megabytes(bavail * bsize)} are free.`)
      const folder = await mkdtemp(join(root, `${mark}-`))
      const exceeded = new AbortController()
      const watch = setInterval(() => {
        void sizeOf(folder).then((bytes) => bytes > maxBytes && exceeded.abort(tooMuch))
      }, WATCH_MS)
      try {
        return await work(folder, AbortSignal.any([signal, exceeded.signal]))
      } finally {
        clearInterval(watch)
        await rm(folder, { recursive: true, force: true })
      }
    },
  }
}

async function sizeOf(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => [])
  const sizes = names.map((name) =>
    stat(join(folder, name)).then(
      ({ size }) => size,
      () => 0,
    ),
  )
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`
}
