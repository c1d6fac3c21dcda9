/** Commands in any language: the units under `exec`, and the steps of `preStart`. */
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, resolve } from 'node:path'
import type { Problem } from '../core/errors.ts'
import { type Field, type Fields, flag, list, object, oneOf, record, show, text, whole } from '../core/options.ts'
import { normalAddress } from './address.ts'
import type { Environment } from './environment.ts'
import type {
  Command,
  ExecConfig,
  OmnibusConfig,
  PreStartConfig,
  ReadyWhen,
  ResolvedCommand,
  ResolvedConfig,
  ResolvedExec,
} from './types.ts'

const READY_EXPECTED = "'started', or one of { port }, { url } and { line }"
const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const

const filled = text({ expected: 'a text that is not empty', test: (value) => value !== '' })
const address = text({
  expected: 'host:port',
  test: (value) => normalAddress(value, '/')?.includes(':') === true && !value.startsWith('unix:'),
})

const command: Field<readonly string[]> = {
  read(value, at, problems) {
    const words = Array.isArray(value) && value.length > 0 && value.every((word) => typeof word === 'string') ? value : undefined
    if (words?.[0]) return Object.freeze([...words])
    const expected = "a program and its arguments in a list, such as ['python3', 'worker.py']"
    return void problems.push({ path: at, expected, got: show(value) })
  },
}

const ready: Field<ReadyWhen> = {
  read(value, at, problems) {
    if (value === 'started') return value
    const given = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : []
    if (given.length !== 1) return void problems.push({ path: at, expected: READY_EXPECTED, got: show(value) })
    const url = text({ expected: 'an http:// URL', test: (one) => URL.canParse(one) && new URL(one).protocol === 'http:' })
    const forms = object<{ port?: string | number; url?: string; line?: string }>({
      port: { read: (one, path, found) => (Number.isSafeInteger(one) ? whole({ min: 1, max: 65_535 }) : address).read(one, path, found) },
      url,
      line: filled,
    })
    return forms.read(value, at, problems) as ReadyWhen | undefined
  },
}

const COMMAND: Fields<Command> = { command, cwd: filled, env: record(text()) }

/** `limits` and `restart` are those of every unit. */
export const execFields = (
  shared: Pick<Fields<ExecConfig>, 'instances' | 'minReady' | 'maxLifetimeMs' | 'maxLifetimeJitterMs' | 'maxMemoryMb' | 'restart'>,
): Pick<Fields<OmnibusConfig>, 'exec' | 'preStart'> => ({
  exec: record(
    object<ExecConfig>({
      ...COMMAND,
      ready,
      startTimeoutMs: whole({ min: 1 }),
      stopSignal: oneOf(STOP_SIGNALS),
      gracefulTimeoutMs: whole({ min: 1 }),
      replace: oneOf(['new-first', 'old-first']),
      ...shared,
    }),
  ),
  preStart: list(object<PreStartConfig>({ ...COMMAND, onReload: flag(), timeoutMs: whole() })) as Field<PreStartConfig[]>,
})

export interface CommandContext {
  readonly base: string
  readonly env: Environment
  readonly problems: Problem[]
}

/** Without what it has in common with other units. */
export function resolveExec(
  given: ExecConfig,
  at: string,
  context: CommandContext,
): Pick<ResolvedExec, keyof ResolvedCommand | 'ready' | 'startTimeoutMs' | 'stopSignal' | 'gracefulTimeoutMs' | 'replace'> {
  const when = given.ready ?? 'started'
  const listens = typeof when === 'object' && !('line' in when)
  return {
    ...resolveCommand(given, at, context),
    ready: when,
    startTimeoutMs: given.startTimeoutMs ?? 30_000,
    stopSignal: given.stopSignal ?? 'SIGTERM',
    ...(given.gracefulTimeoutMs !== undefined && { gracefulTimeoutMs: given.gracefulTimeoutMs }),
    // Where two cannot listen, the old one would answer for the new.
    replace: given.replace ?? (listens ? 'old-first' : 'new-first'),
  }
}

export function resolveStep(given: PreStartConfig, at: string, context: CommandContext): ResolvedConfig['preStart'][number] {
  return { ...resolveCommand(given, at, context), onReload: given.onReload ?? false, timeoutMs: given.timeoutMs ?? 0 }
}

function resolveCommand(
  { command: words, cwd = '.', env = {} }: Command,
  at: string,
  { base, env: own, problems }: CommandContext,
): ResolvedCommand {
  const folder = resolve(base, cwd)
  const missing = (expected: string, path: string, got: string): void => void problems.push({ path: `${at}.${path}`, expected, got })
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) missing('a folder', 'cwd', `${folder}, which is none`)
  const [program] = words ?? []
  if (program === undefined) {
    // A value of the wrong type was reported where it was read.
    if (!problems.some(({ path }) => path === `${at}.command`)) missing('a program and its arguments in a list', 'command', 'nothing')
  } else if (!isProgram(program, folder, env['PATH'] ?? own['PATH'] ?? process.env['PATH'])) {
    missing('a program that is there and may be run', 'command', show(program))
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
