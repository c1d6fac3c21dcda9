/** Rivals that are no dependencies of ours: installed by npm in a folder of their own, in pinned versions, once. */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const VERSIONS = { pm2: '7.0.4', wattpm: '3.67.0', node: '3.65.0' } as const
const PACKAGES = [`pm2@${VERSIONS.pm2}`, `wattpm@${VERSIONS.wattpm}`, `@platformatic/node@${VERSIONS.node}`]

export interface Rivals {
  readonly folder: string
  /** `node` is that of Watt's package for Node applications. */
  readonly versions: typeof VERSIONS
}

/** Undefined, and said, where they cannot be had. */
export async function rivals(): Promise<Rivals | undefined> {
  const folder = join(tmpdir(), 'omnibus-bench-rivals')
  const found = { folder, versions: VERSIONS }
  const mark = join(folder, `${PACKAGES.join('+').replaceAll('/', '_')}.installed`)
  if (existsSync(mark)) return found
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
  process.stderr.write(`Installing ${PACKAGES.join(', ')}...\n`)
  try {
    await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', '--save-exact', ...PACKAGES], { cwd: folder })
  } catch (error) {
    process.stderr.write(`PM2 and Watt are left out, since npm could not install them: ${String(error).slice(0, 500)}\n`)
    return undefined
  }
  writeFileSync(mark, '')
  return found
}
