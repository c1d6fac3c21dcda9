/**
 * Watches files by their folders, so that it sees editors that write by rename, files deleted and made again, and files
 * that do not exist yet. What counts is the content: a file written anew as it was is no change.
 */
import { createHash } from 'node:crypto'
import { type FSWatcher, readFileSync, statSync, watch } from 'node:fs'
import { dirname, join } from 'node:path'
import { systemClock, type Timer } from '../../core/clock.ts'

export interface FileWatch {
  /** Absolute paths; those that are watched already may be among them. `since`: older content has been read, in milliseconds since 1970. */
  add(files: readonly string[], since: number): void
  close(): void
}

/** The clock of a file system may go in steps, and so be behind. */
const CLOCK_MS = 10
/** Longest a burst of events of one save is apart. */
const QUIET_MS = 20
/** A file that is gone or empty may be in the middle of being written. */
const UNFINISHED_MS = 100

/** Keeps the process alive, which may have nothing else to wait for. `onChange` is given the files whose content is another, or that came or went. */
export function watchFiles(onChange: (files: readonly string[]) => void): FileWatch {
  /** By path, the digest of what it held when it was last looked at; undefined: nothing is there. */
  const known = new Map<string, string | undefined>()
  const folders = new Map<string, FSWatcher>()
  /** With when they were first found unfinished. */
  const dirty = new Map<string, number | undefined>()
  let timer: Timer | undefined
  let closed = false

  const mark = (files: Iterable<string>): void => {
    for (const file of files) if (known.has(file) && !dirty.has(file)) dirty.set(file, undefined)
    if (dirty.size > 0) schedule(QUIET_MS)
  }
  const schedule = (ms: number): void => {
    timer?.cancel()
    timer = systemClock.after(ms, look)
  }
  const filesIn = (folder: string): string[] => [...known.keys()].filter((file) => dirname(file) === folder)

  function look(): void {
    const now = systemClock.monotonic()
    const changed: string[] = []
    for (const [file, since] of dirty) {
      const digest = digestOf(file)
      if (digest === known.get(file)) dirty.delete(file)
      else if ((digest === undefined || digest === EMPTY) && (since === undefined || now - since < UNFINISHED_MS))
        dirty.set(file, since ?? now)
      else {
        dirty.delete(file)
        known.set(file, digest)
        changed.push(file)
      }
    }
    if (dirty.size > 0) schedule(UNFINISHED_MS)
    if (changed.length > 0) onChange(changed)
  }

  /** The folder itself or, while there is none, the nearest one that exists: when it comes, something changes there. */
  function watchFolder(folder: string): void {
    if (folders.has(folder) || closed) return
    const onEvent = (_type: string, name: string | null): void => {
      mark(name === null ? filesIn(folder) : [join(folder, name)])
      if (!isFolder(folder)) lose(folder)
      // A folder that appears here, with all that is in it.
      else if (name !== null) regain(join(folder, name))
    }
    try {
      const watcher = watch(folder, onEvent)
      watcher.on('error', () => lose(folder))
      folders.set(folder, watcher)
    } catch {
      if (dirname(folder) !== folder) watchFolder(dirname(folder))
    }
  }
  function lose(folder: string): void {
    folders.get(folder)?.close()
    folders.delete(folder)
    mark(filesIn(folder))
    watchFolder(folder)
  }
  function regain(path: string): void {
    const inside = new Set([...known.keys()].map(dirname).filter((folder) => folder === path || folder.startsWith(`${path}/`)))
    if (inside.size === 0 || !isFolder(path)) return
    for (const folder of inside) {
      // It may be another one of the same name, which the old watcher knows nothing of.
      folders.get(folder)?.close()
      folders.delete(folder)
      watchFolder(folder)
      mark(filesIn(folder))
    }
  }

  return {
    add(files, since) {
      const late: string[] = []
      for (const file of files) {
        if (known.has(file)) continue
        watchFolder(dirname(file))
        known.set(file, digestOf(file))
        // Written after it was loaded and before it was looked at here.
        if ((statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0) > since - CLOCK_MS) late.push(file)
      }
      if (late.length > 0) onChange(late)
    },
    close() {
      closed = true
      timer?.cancel()
      for (const watcher of folders.values()) watcher.close()
    },
  }
}

const digest = (content: Buffer): string => createHash('sha1').update(content).digest('base64')
const EMPTY = digest(Buffer.alloc(0))

function digestOf(file: string): string | undefined {
  try {
    return digest(readFileSync(file))
  } catch {
    return undefined
  }
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
