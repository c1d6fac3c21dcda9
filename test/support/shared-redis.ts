import { inject } from 'vitest'
import { have } from './packages.ts'
import type {} from './shared-rabbit.ts'

/** There is a Redis to test against, at `REDIS_URL` or installed: for `describe.runIf`. */
export const hasRedis = (): boolean => process.env['REDIS_URL'] !== undefined || have('redis-server')

/** The URL of the one Redis a whole test run shares: the one `REDIS_URL` names, else a private one. Use random names, or a prefix of one's own. */
export async function sharedRedis(): Promise<string> {
  const answer = await fetch(new URL('/redis', inject('shared')))
  const text = await answer.text()
  if (!answer.ok) throw new Error(text)
  return text
}
