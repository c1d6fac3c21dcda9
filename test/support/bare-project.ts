/** A user's project in which Omnibus is installed, with what it depends on, and none of its optional peers. */
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './built.ts'
import { tempDir } from './run-folder.ts'

/** The command in it, and its folder. */
export function bareProject(): { cwd: string; program: string } {
  const cwd = tempDir('bare')
  const installed = join(cwd, 'node_modules', 'omnibus')
  mkdirSync(installed, { recursive: true })
  // A link would lead back to all that is installed here.
  cpSync(join(root, 'dist'), join(installed, 'dist'), { recursive: true })
  cpSync(join(root, 'package.json'), join(installed, 'package.json'))
  symlinkSync(join(root, 'node_modules', 'commander'), join(cwd, 'node_modules', 'commander'))
  writeFileSync(join(cwd, 'package.json'), '{ "type": "module" }\n')
  return { cwd, program: join(installed, 'dist', 'cli', 'main.js') }
}
