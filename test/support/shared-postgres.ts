import { inject } from 'vitest'
import { have } from './packages.ts'
import type {} from './shared-rabbit.ts'

/** There is a PostgreSQL to test against, at `POSTGRES_URL` or installed: for `describe.runIf`. */
export const hasPostgres = (): boolean => process.env['POSTGRES_URL'] !== undefined || have('postgresql')

/** The URL of the one PostgreSQL a whole test run shares: the one `POSTGRES_URL` names, else a private one. Use random names on it. */
export async function sharedPostgres(): Promise<string> {
  const answer = await fetch(new URL('/postgresql', inject('shared')))
  const text = await answer.text()
  if (!answer.ok) throw new Error(text)
  return text
}
