/** Loading a user's module, and saying clearly why it does not load. */
import { execFile } from 'node:child_process'
import { channel } from 'node:diagnostics_channel'
import { access } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { ConfigError, messageOf, WorkerError } from '../core/errors.ts'
import { WATCH_CHANNEL } from '../core/host.ts'

const CHECK_MS = 5_000

/** A module's namespace. */
export type Exports = Readonly<Record<string, unknown>>

/**
 * Imports the module, ESM or CommonJS, TypeScript or JavaScript. `option` is where the config names it, e.g. `web.entry`.
 * Throws `ConfigError` where there is no such file, `WorkerError` with the module's own error as its cause.
 */
export async function loadEntry(option: string, entry: string): Promise<Exports> {
  try {
    await access(entry)
  } catch (cause) {
    // It may come yet.
    channel(WATCH_CHANNEL).publish(entry)
    throw new ConfigError('The configuration', [{ path: option, expected: 'a module file that can be read', got: entry }], { cause })
  }
  try {
    const exports: unknown = await import(pathToFileURL(entry).href)
    return exports as Exports
  } catch (cause) {
    throw new WorkerError(
      `${option} ${entry} cannot be loaded: ${nameOf(cause)}${messageOf(cause)}${(await placeOf(cause, entry)) ?? ''}`,
      { cause },
    )
  }
}

/**
 * The default export, or undefined. CommonJS that was compiled from ESM has its default one level deeper.
 */
export function defaultExport(exports: Exports): unknown {
  const value = exports['default']
  const compiled = typeof value === 'object' && value !== null && Reflect.get(value, '__esModule') === true
  return compiled ? Reflect.get(value, 'default') : value
}

/** Names of what a module exports, for an error. */
export function exportNames(exports: Exports): string {
  // Node adds "module.exports" to the namespace of a CommonJS module.
  const names = Object.keys(exports).filter((name) => name !== 'module.exports')
  return names.length === 0 ? 'nothing' : names.join(', ')
}

function nameOf(error: unknown): string {
  return error instanceof Error && error.name !== 'Error' ? `${error.name}: ` : ''
}

/** Where it happened, unless the message says so: of a syntax error the stack's first line, else the first frame in a file. */
async function placeOf(error: unknown, entry: string): Promise<string | undefined> {
  if (!(error instanceof Error) || error.stack === undefined || error.message.includes(entry)) return undefined
  const head = sourceLine(error.stack)
  if (head !== undefined) return head
  const frame = /\((file:[^)]+:\d+:\d+)\)|at (?:async )?(file:\S+:\d+:\d+)/.exec(error.stack)
  const place = frame?.[1] ?? frame?.[2]
  if (place !== undefined) return ` (${place})`
  return error instanceof SyntaxError ? checkedPlace(entry) : undefined
}

/** Node tells the place of an ES module's syntax error only when it prints it, so it is made to: nothing is run. */
async function checkedPlace(entry: string): Promise<string> {
  try {
    await promisify(execFile)(process.execPath, ['--check', entry], { timeout: CHECK_MS })
    return ' (in a module it imports)'
  } catch (error) {
    return sourceLine(String(Reflect.get(Object(error), 'stderr'))) ?? ''
  }
}

/** The line `file:///path:3` that stands above the source of a syntax error. */
function sourceLine(text: string): string | undefined {
  const [first = ''] = text.trimStart().split('\n')
  return /^(file:|\/)\S*:\d+$/.test(first) ? ` (${first})` : undefined
}
