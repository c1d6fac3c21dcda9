import { closeSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { ConfigError, messageOf } from '../core/errors.ts'

export interface PidFile {
  /** Removes it, if it is still ours. May be called twice. */
  remove(): void
  /** That of a second master takes the name of the first one's, which is gone. */
  promote(): void
}

/**
 * Writes our pid, in place of one whose process is gone; a `second` master beside the first one's, as `PATH.2`. Throws
 * `ConfigError` where that process lives, or nothing can be written.
 */
export function writePidFile(wanted: string, { second }: { readonly second: boolean }): PidFile {
  const path = second ? `${wanted}.2` : wanted
  const refuse = (got: string, cause?: unknown): never => {
    throw new ConfigError('The configuration', [{ path: 'pidFile', expected: 'a file for the pid of this master alone', got }], { cause })
  }
  for (let attempt = 0; ; attempt++) {
    try {
      const fd = openSync(path, 'wx', 0o600)
      writeSync(fd, `${process.pid}\n`)
      closeSync(fd)
      break
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST') || attempt > 2) refuse(messageOf(error), error)
    }
    const pid = pidIn(path)
    if (pid !== undefined && pid !== process.pid && isAlive(pid)) refuse(`${path}, which holds the pid of a living process: ${pid}`)
    removeFile(path)
  }
  let name = path
  return {
    remove() {
      if (pidIn(name) === process.pid) removeFile(name)
    },
    promote() {
      if (name === wanted) return
      renameSync(name, wanted)
      name = wanted
    },
  }
}

function pidIn(path: string): number | undefined {
  try {
    const text = readFileSync(path, 'utf8').trim()
    return /^[1-9]\d*$/.test(text) ? Number(text) : undefined
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

function removeFile(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // Gone already.
  }
}
