/** The module of a unit that runs once before its workers: as threads they share what it makes, as processes each has its own. */
import { types } from 'node:util'
import { messageOf, WorkerError } from '../core/errors.ts'
import type { Preloaded } from '../core/host.ts'
import { unlessAborted } from './deadline.ts'
import { defaultExport, exportNames, loadEntry } from './entry.ts'
import type { UnitContext } from './unit.ts'

export interface PreloadSettings {
  readonly preload?: string
  readonly kind: 'process' | 'thread'
}

/** Copies of this size are worth a word. Bytes. */
const LARGE = 2 ** 20

/** Runs it, if there is one. `option` is where the config names it. Throws `WorkerError`. */
export async function preload(
  option: string,
  { preload: file, kind }: PreloadSettings,
  { log, signal }: UnitContext,
): Promise<Preloaded | undefined> {
  if (file === undefined) return undefined
  const value = await unlessAborted(signal, made(option, file))
  if (kind === 'process') return { value }
  try {
    structuredClone(value)
  } catch (cause) {
    throw new WorkerError(
      `${option} ${file} made what threads cannot be given (${messageOf(cause)}). Expected SharedArrayBuffers, typed arrays over them, and plain data.`,
      { cause },
    )
  }
  const copied = copiedBytes(value)
  if (copied >= LARGE) {
    const mb = Math.round(copied / 2 ** 20)
    log.write('warn', `${option}: ${mb} MiB of buffers are copied for each thread; over a SharedArrayBuffer they would be there once`)
  }
  return { value }
}

async function made(option: string, file: string): Promise<unknown> {
  const exports = await loadEntry(option, file)
  const exported = defaultExport(exports)
  if (exported === undefined) {
    throw new WorkerError(
      `${option} ${file} exports ${exportNames(exports)}. Expected a default export: what the workers need, or a function that returns it.`,
    )
  }
  try {
    return await (typeof exported === 'function' ? (exported as () => unknown)() : exported)
  } catch (cause) {
    throw new WorkerError(`${option} ${file} failed: ${messageOf(cause)}`, { cause })
  }
}

/** Of buffers that are not shared, as deep as plain objects and lists go. */
function copiedBytes(value: unknown, seen = new Set<unknown>()): number {
  if (typeof value !== 'object' || value === null || seen.has(value)) return 0
  seen.add(value)
  const buffer = ArrayBuffer.isView(value) ? value.buffer : value
  if (types.isAnyArrayBuffer(buffer)) {
    if (types.isSharedArrayBuffer(buffer) || (buffer !== value && seen.has(buffer))) return 0
    seen.add(buffer)
    return buffer.byteLength
  }
  return Object.values(value).reduce<number>((sum, part) => sum + copiedBytes(part, seen), 0)
}
