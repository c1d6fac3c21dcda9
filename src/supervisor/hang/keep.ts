/** CPU profiles of what hung, kept in `.omnibus` beside the config: of each label the last. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../../core/errors.ts'
import type { CpuProfile } from './hottest.ts'

/** As it is called where masters announce themselves. */
const FOLDER = '.omnibus'

export interface Kept {
  /** For the end of a log line. */
  readonly text: string
  readonly details: { readonly profile: string } | { readonly noProfile: string }
}

export function keepProfile(root: string, label: string, profile: CpuProfile): Kept {
  const folder = join(root, FOLDER)
  const file = join(folder, `hang-${label}.cpuprofile`)
  try {
    if (mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined) chmodSync(folder, 0o700)
    writeFileSync(file, JSON.stringify(profile), { mode: 0o600 })
    return { text: `; see ${file}`, details: { profile: file } }
  } catch (error) {
    return { text: '', details: { noProfile: messageOf(error) } }
  }
}
