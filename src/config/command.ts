/** Commands in any language: what the units under `exec` and the steps of `preStart` have in common. */
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, resolve } from 'node:path'
import { type Field, type Fields, record, show, text } from '../core/options.ts'
import { reportMissing } from './missing.ts'
import type { Context } from './unit.ts'

export interface Command {
  /** A program and its arguments. No shell reads them. */
  command: readonly string[]
  /** Relative to the config file. @default its folder */
  cwd?: string
  /** Added to the environment of the master. */
  env?: Record<string, string>
}

export type ResolvedCommand = Readonly<Required<Command>>

export const filled: Field<string> = text({ expected: 'a text that is not empty', test: (value) => value !== '' })

const command: Field<readonly string[]> = {
  read(value, at, problems) {
    const words = Array.isArray(value) && value.length > 0 && value.every((word) => typeof word === 'string') ? value : undefined
    if (words?.[0]) return Object.freeze([...words])
    const expected = "a program and its arguments in a list, such as ['python3', 'worker.py']"
    return void problems.push({ path: at, expected, got: show(value) })
  },
}

export const commandFields: Fields<Command> = { command, cwd: filled, env: record(text()) }

export function resolveCommand(
  { command: words, cwd = '.', env = {} }: Command,
  at: string,
  { base, env: own, problems }: Context,
): ResolvedCommand {
  const folder = resolve(base, cwd)
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    problems.push({ path: `${at}.cwd`, expected: 'a folder', got: `${folder}, which is none` })
  }
  const [program] = words ?? []
  if (program === undefined) reportMissing(`${at}.command`, 'a program and its arguments in a list', problems)
  else if (!isProgram(program, folder, env['PATH'] ?? own['PATH'] ?? process.env['PATH'])) {
    problems.push({ path: `${at}.command`, expected: 'a program that is there and may be run', got: show(program) })
  }
  return { command: words ?? [], cwd: folder, env }
}

/** As execvp(3) finds it, from the folder the command runs in. */
function isProgram(name: string, folder: string, path = ''): boolean {
  const folders = name.includes('/') ? [''] : path.split(delimiter)
  return folders.map((one) => resolve(folder, one, name)).some((file) => isExecutable(file))
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}
