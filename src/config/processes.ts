/** What all processes but the master and the hook host have in common: whose they are, where they run, what is in their environment. */
import { channel } from 'node:diagnostics_channel'
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import type { Problem } from '../core/errors.ts'
import { WATCH_CHANNEL } from '../core/host.ts'
import { type Field, type Fields, record, show, text } from '../core/options.ts'
import type { Environment } from './environment.ts'
import { path } from './paths.ts'

export interface ProcessesConfig {
  /**
   * Whose the processes are that the master starts, but for the hook host; a name or a number. The master has to be root's and stays it.
   * @default the master's
   */
  user?: string | number
  /** @default the user's primary group */
  group?: string | number
  /** Of all processes, in octal digits such as '027'. @default the master's */
  umask?: string | number
  /** Working directory of all processes but the master, relative to the config file. @default the master's */
  chdir?: string
  /** Added to the environment of all processes but the master; before what is set outside. */
  env?: Record<string, string>
  /** The same from a file of `NAME=value` lines, read anew in each reload; after what is set outside. */
  envFile?: string
}

export interface ResolvedProcesses {
  readonly uid?: number
  readonly gid?: number
  readonly umask?: number
  readonly chdir?: string
  readonly env: Readonly<Record<string, string>>
}

const account: Field<string | number> = {
  read(value, at, problems) {
    if ((typeof value === 'string' && value !== '') || (Number.isSafeInteger(value) && Number(value) >= 0)) return value as string | number
    return void problems.push({ path: at, expected: 'a name, or a number from 0', got: show(value) })
  },
}

/** A text is read as a shell reads it, a number is what it is. */
const umask: Field<string | number> = {
  read(value, at, problems) {
    if (typeof value === 'string' && /^0?[0-7]{1,3}$/.test(value)) return value
    if (Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= 0o777) return Number(value)
    return void problems.push({ path: at, expected: "octal digits such as '027', or 0o027", got: show(value) })
  },
}

export const processFields: Fields<ProcessesConfig> = {
  user: account,
  group: account,
  umask,
  chdir: path,
  env: record(text()),
  envFile: path,
}

export interface ProcessesContext {
  readonly base: string
  /** Of the flag, absolute: in place of the config's. */
  readonly envFile: string | undefined
  readonly env: Environment
  readonly problems: Problem[]
}

export function resolveProcesses(config: ProcessesConfig, { base, envFile, env, problems }: ProcessesContext): ResolvedProcesses {
  const file = envFile ?? (config.envFile === undefined ? undefined : resolve(base, config.envFile))
  const fromFile = file === undefined ? {} : readEnvFile(file, envFile === undefined ? 'envFile' : '--env-file', problems)
  const user = accountOf('user', config.user, problems)
  const group = accountOf('group', config.group, problems)
  const gid = group?.id ?? user?.group
  const own = { user: process.getuid?.(), group: process.getgid?.() }
  const wanted = { user: user?.id ?? own.user, group: gid ?? own.group }
  if (own.user !== 0 && (wanted.user !== own.user || wanted.group !== own.group)) {
    const expected = 'to be started by root, who alone can become another'
    problems.push({ path: config.user === undefined ? 'group' : 'user', expected, got: `user ${own.user} and group ${own.group}` })
  }
  const chdir = config.chdir === undefined ? undefined : resolve(base, config.chdir)
  if (chdir !== undefined && !statSync(chdir, { throwIfNoEntry: false })?.isDirectory()) {
    problems.push({ path: 'chdir', expected: 'a folder', got: `${chdir}, which is none` })
  }
  return {
    ...(user !== undefined && { uid: user.id }),
    ...(gid !== undefined && { gid }),
    ...(config.umask !== undefined && { umask: typeof config.umask === 'number' ? config.umask : Number.parseInt(config.umask, 8) }),
    ...(chdir !== undefined && { chdir }),
    // What is set outside goes before the file, as with Node's own --env-file; what the config says goes before both.
    env: { ...Object.fromEntries(Object.entries(fromFile).filter(([name]) => env[name] === undefined)), ...config.env },
  }
}

/** `NAME=value` lines, as Node's own `--env-file` reads them. */
export function readEnvFile(file: string, at: string, problems: Problem[]): Readonly<Record<string, string>> {
  // Under `dev` it is part of the config, also where it is yet to come.
  channel(WATCH_CHANNEL).publish(file)
  try {
    return parseEnv(readFileSync(file, 'utf8')) as Record<string, string>
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    problems.push({ path: at, expected: 'a file that can be read', got: `${file}: ${why}` })
    return {}
  }
}

/** Names are those of /etc/passwd and /etc/group; any other directory's are given by number. */
function accountOf(kind: 'user' | 'group', given: string | number | undefined, problems: Problem[]): Account | undefined {
  if (given === undefined) return undefined
  const book = kind === 'user' ? '/etc/passwd' : '/etc/group'
  const entries = readFileSync(book, 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  const entry = entries.find(([name, , id]) => name === given || (typeof given === 'number' && id === String(given)))
  if (typeof given === 'number') return { id: given, group: kind === 'user' && entry ? Number(entry[3]) : undefined }
  if (entry) return { id: Number(entry[2]), group: kind === 'user' ? Number(entry[3]) : undefined }
  problems.push({ path: kind, expected: `a ${kind} of ${book}, or its number`, got: show(given) })
  return undefined
}

interface Account {
  readonly id: number
  /** Of a user: the primary one. */
  readonly group: number | undefined
}
