/** A folder with the modules a config may name, and what comes of a config there. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { resolveConfig, type ResolveContext } from '../../src/config/resolve.ts'
import type { ResolvedConfig } from '../../src/config/types.ts'
import { ConfigError } from '../../src/core/errors.ts'
import { tempDir } from '../support/run-folder.ts'

export const root = tempDir('config')
mkdirSync(join(root, 'sub'))
for (const name of ['web.ts', 'sub/web.ts', 'video.ts']) writeFileSync(join(root, name), 'export {}\n')
export const web = { entry: './web.ts' }

export const resolve = (input: unknown, context: Partial<ResolveContext> = {}): ResolvedConfig => resolveConfig(input, { root, ...context })

export function problems(input: unknown, context: Partial<ResolveContext> = {}): string[] {
  try {
    resolve(input, context)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ path, expected, got }) => `${path}: ${expected}; ${got}`)
    throw error
  }
  return []
}
