/** What the environment says where the config file and the flags say nothing; the variables are those Gunicorn users know. */
import type { Problem } from '../core/errors.ts'
import { show } from '../core/options.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** `0.0.0.0:$PORT`, since a platform that sets PORT reaches the app from outside; else loopback, port 8000. */
export function defaultBind(env: Environment, problems: Problem[]): string {
  const port = numberIn(env, 'PORT', 0, 65_535, problems)
  return port === undefined ? '127.0.0.1:8000' : `0.0.0.0:${port}`
}

export function defaultWorkers(env: Environment, problems: Problem[]): number {
  return numberIn(env, 'WEB_CONCURRENCY', 1, 1024, problems) ?? 1
}

function numberIn(env: Environment, name: string, min: number, max: number, problems: Problem[]): number | undefined {
  const value = env[name]
  if (value === undefined || value === '') return undefined
  if (/^\d+$/.test(value) && Number(value) >= min && Number(value) <= max) return Number(value)
  problems.push({ path: `$${name}`, expected: `a whole number from ${min} to ${max}`, got: show(value) })
  return undefined
}
