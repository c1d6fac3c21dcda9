/**
 * Finishes what `tsc` leaves in dist: the command may be executed, files that are no TypeScript lie beside the code that
 * reads them, and nothing is left of sources that are gone.
 */
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'

const root = dirname(import.meta.dirname)
const source = join(root, 'src')
const built = join(root, 'dist')

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))

const wanted = new Set<string>()
for (const file of filesIn(source)) {
  if (file.endsWith('.ts')) {
    const stem = file.slice(0, -'.ts'.length)
    for (const ending of ['.js', '.js.map', '.d.ts']) wanted.add(stem + ending)
    continue
  }
  wanted.add(file)
  mkdirSync(dirname(join(built, file)), { recursive: true })
  copyFileSync(join(source, file), join(built, file))
}
for (const file of filesIn(built)) if (!wanted.has(file)) rmSync(join(built, file))

const command = join(built, 'cli', 'main.js')
if (!existsSync(command)) throw new Error(`${command} is missing: is src/cli/main.ts there, and did tsc succeed?`)
if (!readFileSync(command, 'utf8').startsWith('#!/usr/bin/env node\n')) throw new Error(`${command} must start with #!/usr/bin/env node`)
chmodSync(command, 0o755)
