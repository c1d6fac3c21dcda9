/** Runs the config file, which is user code: only ever in a child of the master, or in a command that does nothing else. */
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ConfigError, messageOf, OmnibusError, type Problem } from '../core/errors.ts'
import { redactText } from '../core/redact.ts'
import { readEnvFile } from './processes.ts'
import { resolveConfig } from './resolve.ts'
import type { Environment } from './environment.ts'
import type { Hooks } from './hooks.ts'
import type { ConfigOverrides } from './flags.ts'
import type { ResolvedConfig } from './types.ts'

export interface LoadOptions {
  /** The config file; absent: `overrides.config`, else an empty one with `overrides.entry` as the web app. */
  readonly file?: string | undefined
  /** Where relative paths in `file` and `overrides` start from. */
  readonly root: string
  readonly overrides?: ConfigOverrides
  /** @default process.env */
  readonly env?: Environment
  /** Rejects where no bus can be had at these URLs, with `ConfigError` or `MissingPeerError`. @default takes them unseen */
  readonly checkUrls?: (urls: readonly string[]) => Promise<void>
}

export interface LoadedConfig {
  readonly config: ResolvedConfig
  /** The functions themselves, which no resolved config can hold. */
  readonly hooks: Hooks
}

/** Imports the file, `.ts` or `.js`, and takes its default export: a config, a promise of one, or a function that returns either. Throws `ConfigError`. */
export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  const { root, overrides = {}, env = process.env } = options
  const file = options.file === undefined ? undefined : resolve(root, options.file)
  const outside = { ...env }
  if (overrides.envFile !== undefined) setFrom(resolve(root, overrides.envFile))
  const exported = file === undefined ? (overrides.config ?? {}) : await defaultExportOf(file)
  const config = resolveConfig(exported, { file, root, overrides, env: outside })
  await options.checkUrls?.(config.bus.urls).catch((error: unknown) => {
    if (!(error instanceof ConfigError)) throw error
    const problems = error.problems.map((problem) => ({ ...problem, path: `bus.url: ${problem.path}` }))
    throw new ConfigError(file ?? 'The configuration', problems, { cause: error })
  })
  return { config, hooks: hooksIn(exported) }
}

/** For the code of the config file, which may read what the flag's file says. */
function setFrom(envFile: string): void {
  const problems: Problem[] = []
  for (const [name, value] of Object.entries(readEnvFile(envFile, '--env-file', problems))) process.env[name] ??= value
  if (problems.length > 0) throw new ConfigError('The configuration', problems)
}

/** The file's hooks alone, for a worker: the master's config, which names the file, has been checked. Throws `ConfigError`. */
export async function loadHooks(file: string): Promise<Hooks> {
  return hooksIn(await defaultExportOf(file))
}

function hooksIn(exported: unknown): Hooks {
  const hooks: unknown = typeof exported === 'object' && exported !== null && 'hooks' in exported ? exported.hooks : undefined
  return (hooks ?? {}) as Hooks
}

async function defaultExportOf(file: string): Promise<unknown> {
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
    throw new ConfigError(file, [{ path: 'the file', expected: 'an existing file', got: 'nothing of that name' }])
  }
  let module: unknown
  try {
    module = await import(pathToFileURL(file).href)
  } catch (cause) {
    throw asConfigError(file, 'a module that can be imported', cause)
  }
  const exported = (module as { default?: unknown }).default
  try {
    return await (typeof exported === 'function' ? (exported as () => unknown)() : exported)
  } catch (cause) {
    throw asConfigError(file, 'a function that returns a config', cause)
  }
}

function asConfigError(file: string, expected: string, cause: unknown): Error {
  // A queue or exchange declared wrongly in the file explains itself better than "cannot be imported".
  if (cause instanceof OmnibusError) return cause
  return new ConfigError(file, [{ path: 'the file', expected, got: explain(file, cause) }], { cause })
}

/** The message, with the place in the source: a frame in the file itself, else where the engine stopped reading, which is the stack's first line. */
function explain(file: string, cause: unknown): string {
  if (!(cause instanceof Error)) return redactText(messageOf(cause))
  const places = [...(cause.stack ?? '').matchAll(/(?:file:\/\/|(?<=^|\s|\())(\/[^\s():]+):(\d+)/gm)].map(([, path, line]) => ({
    path,
    line,
  }))
  const place = places.find(({ path }) => path === file) ?? places[0]
  const where =
    place === undefined || place.path?.includes('/node_modules/')
      ? ''
      : ` (${place.path === file ? '' : `${place.path} `}line ${place.line})`
  return redactText(`${cause.name}: ${cause.message}${where}`)
}
