/** The build, which is what processes under test run: taking the types off all that a process imports takes it five times as long to start. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

export const root = dirname(dirname(import.meta.dirname))

/** Of a module in `src`, by its path there. */
export function built(path: string): string {
  const file = join(root, 'dist', path.replace(/\.ts$/, '.js'))
  if (!existsSync(file)) throw new Error(`${file} is missing: run "npm run build" first`)
  return file
}

/** The command. */
export const program = built('cli/main.ts')
