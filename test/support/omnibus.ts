/** The command as users get it: built, by Node. */
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { program, root } from './built.ts'
import { run, type RunOptions, type Running } from './process.ts'
import { tempDir } from './run-folder.ts'

export { root }

export function omnibus(args: readonly string[], options: RunOptions = {}): Running {
  return run(process.execPath, [program, ...args], { label: `omnibus-${args[0] ?? ''}`, ...options })
}

/** A folder of a user's own, with the package installed and what the examples import beside it. */
export function userFolder(label: string): string {
  const folder = tempDir(label)
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules', 'omnibus'))
  symlinkSync(join(root, 'node_modules', 'zod'), join(folder, 'node_modules', 'zod'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n')
  return folder
}

/** A copy of an example that a test may change. */
export function copyOfExample(name: string): string {
  const folder = userFolder(name)
  cpSync(join(root, 'examples', name), folder, { recursive: true, filter: (path) => !path.includes('/.omnibus') })
  return folder
}
