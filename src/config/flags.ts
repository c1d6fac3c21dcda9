/** What flags say over the config file. */
import type { Problem } from '../core/errors.ts'
import { type Field, type Fields, object } from '../core/options.ts'
import { address, binds } from './address.ts'
import { busUrl } from './bus.ts'
import { path } from './paths.ts'
import type { OmnibusConfig } from './types.ts'
import { count } from './unit.ts'

export interface Flags {
  readonly entry?: string
  readonly workers?: number
  readonly bind?: string | readonly string[]
  readonly pidFile?: string
  readonly envFile?: string
  readonly busUrl?: string
  readonly data?: string
  readonly listen?: string
}

export interface ConfigOverrides extends Flags {
  /** In place of a file: what it would export. */
  readonly config?: OmnibusConfig
}

const FLAGS: Fields<Flags> = {
  entry: path,
  workers: count,
  bind: binds,
  pidFile: path,
  envFile: path,
  busUrl: busUrl as Field<string>,
  data: path,
  listen: address,
}

/** How each is named where people write it. */
export const FLAG_NAMES: Readonly<Record<keyof Flags, string>> = {
  entry: 'ENTRY',
  workers: '--workers',
  bind: '--bind',
  pidFile: '--pid',
  envFile: '--env-file',
  busUrl: '--bus-url',
  data: '--data',
  listen: '--listen',
}

export function readFlags({ config: _config, ...given }: ConfigOverrides, problems: Problem[]): Flags {
  const found: Problem[] = []
  const flags = object(FLAGS).read(given, '', found) ?? {}
  problems.push(...found.map((problem) => ({ ...problem, path: FLAG_NAMES[problem.path as keyof Flags] ?? problem.path })))
  return flags
}
