/** What the one argument of `serve` means, decided without running it: it is user code, and may start listening when imported. */
import { readFileSync, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { ConfigError } from '../core/errors.ts'

const NAMES = ['omnibus.config.ts', 'omnibus.config.mts', 'omnibus.config.js', 'omnibus.config.mjs']

export type Target = { readonly file: string } | { readonly entry: string }

/** The config file or, for `serve`, the web app's module. Without an argument the config in `cwd`. Throws `ConfigError`. */
export function findTarget(argument: string | undefined, cwd: string): Target {
  if (argument === undefined) {
    const found = NAMES.map((name) => resolve(cwd, name)).find(isFile)
    if (found !== undefined) return { file: found }
    throw new ConfigError('omnibus', [{ path: 'CONFIG', expected: `${NAMES.join(', ')} in ${cwd}, or a path`, got: 'neither' }])
  }
  const path = resolve(cwd, argument)
  if (!isFile(path)) throw new ConfigError('omnibus', [{ path: 'CONFIG | ENTRY', expected: 'an existing file', got: path }])
  return isConfig(path) ? { file: path } : { entry: path }
}

/**
 * Named `*.config.ts` (or .mts, .js, .mjs), or made with `defineConfig`, or exporting an object literal with a config's keys.
 * Anything else is a web app.
 */
function isConfig(path: string): boolean {
  if (/(^|\.)config\.[cm]?[jt]s$/.test(basename(path))) return true
  const source = readFileSync(path, 'utf8').replaceAll(/\/\*[^]*?\*\/|(?<=^|\s)\/\/.*$/gm, '')
  return /\bdefineConfig\s*\(/.test(source) || /\bexport\s+default\s*\{[^]*?\b(web|consumers|hooks|bus)\b\s*[:({,]/.test(source)
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
}
