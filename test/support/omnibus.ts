/** The command as users get it: built, by Node. */
import { existsSync, symlinkSync, mkdirSync, cpSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { run, type RunOptions, type Running } from './process.ts'
import { tempDir } from './run-folder.ts'

export const root = dirname(dirname(import.meta.dirname))
const command = join(root, 'dist', 'cli', 'main.js')

export function omnibus(args: readonly string[], options: RunOptions = {}): Running {
  if (!existsSync(command)) throw new Error(`${command} is missing: run "npm run build" first`)
  return run(process.execPath, [command, ...args], { label: `omnibus-${args[0] ?? ''}`, ...options })
}

/** A copy of an example that a test may change, with the package and its development dependencies in reach. */
export function copyOfExample(name: string): string {
  const folder = tempDir(name)
  cpSync(join(root, 'examples', name), folder, { recursive: true, filter: (path) => !path.includes('/.omnibus') })
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules', 'omnibus'))
  for (const dependency of ['zod']) symlinkSync(join(root, 'node_modules', dependency), join(folder, 'node_modules', dependency))
  return folder
}
