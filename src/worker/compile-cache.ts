/** Node's compile cache, in a folder that nobody else can write: what lies there is run as code. */
import { lstatSync, mkdirSync } from 'node:fs'
import { constants, enableCompileCache } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../core/errors.ts'

const PREFIX = 'omnibus-compile-cache-'

/** Enables it for this thread, unless the environment has decided. Returns why there is none, if that is nobody's wish. */
export function enableOwnCompileCache(): string | undefined {
  const { NODE_COMPILE_CACHE, NODE_DISABLE_COMPILE_CACHE } = process.env
  // With the former Node has enabled it before any code ran; the latter counts also when empty.
  if (NODE_COMPILE_CACHE || NODE_DISABLE_COMPILE_CACHE !== undefined) return undefined
  try {
    const { status, message } = enableCompileCache(ownFolder())
    return status === constants.compileCacheStatus.FAILED ? `no compile cache: ${message ?? 'Node gives no reason'}` : undefined
  } catch (error) {
    return `no compile cache: ${messageOf(error)}`
  }
}

/** Made if missing. Throws where it is not this user's alone: in a folder for all, another user may have made it first. */
function ownFolder(): string {
  const uid = process.geteuid?.()
  const path = join(tmpdir(), `${PREFIX}${uid}`)
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if (Reflect.get(Object(error), 'code') !== 'EEXIST') throw error
  }
  // Not stat: whoever made a link can make it point elsewhere later.
  const found = lstatSync(path)
  const mode = found.mode & 0o777
  if (!found.isDirectory() || found.uid !== uid || mode !== 0o700) {
    const kind = found.isDirectory() ? 'folder' : 'file or link'
    throw new Error(
      `expected ${path} to be a folder of user ${uid} with mode 700, got a ${kind} of user ${found.uid} with mode ${mode.toString(8)}`,
    )
  }
  return path
}
