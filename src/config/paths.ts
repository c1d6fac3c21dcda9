/** Files as people name them: relative to the config file, or where a flag does, to the working directory. */
import { channel } from 'node:diagnostics_channel'
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Problem } from '../core/errors.ts'
import { WATCH_CHANNEL } from '../core/host.ts'
import { type Field, text } from '../core/options.ts'
import { reportMissing } from './missing.ts'

export const path: Field<string> = text({ expected: 'a path', test: (value) => value !== '' })

/** The module's absolute path, which may be a wrong one where a problem was found. */
export function moduleFile(given: string | undefined, base: string, at: string, problems: Problem[]): string {
  if (given === undefined) {
    reportMissing(at, "a module's path", problems)
    return ''
  }
  const file = resolve(base, given)
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
    // It may come yet.
    channel(WATCH_CHANNEL).publish(file)
    problems.push({ path: at, expected: "a module's path", got: `${file}, which is no file` })
  }
  return file
}
