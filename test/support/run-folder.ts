/** The one folder of a test run: what tests write lies in it, and it is kept in .artifacts when one of them failed. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Set by the global setup and inherited by the workers. */
export const RUN_FOLDER = 'OMNIBUS_TEST_RUN'

/** Short, since the paths of unix sockets inside it may have 107 bytes. */
export const makeRunFolder = (): string => mkdtempSync(join(tmpdir(), 'omnibus-'))

/** Names the run in the mark of every process it starts. */
export const runName = (): string => process.env[RUN_FOLDER] ?? `alone-${process.pid}`

/** A new folder that is removed when the run has passed. */
export function tempDir(label = 'dir'): string {
  const parent = process.env[RUN_FOLDER]
  return mkdtempSync(parent === undefined ? join(tmpdir(), `omnibus-${label}-`) : join(parent, `${label}-`))
}
