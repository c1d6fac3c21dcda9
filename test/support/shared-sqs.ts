import { inject } from 'vitest'
import type {} from './shared-rabbit.ts'

/** The URL of the one SQS a whole test run shares: the one `SQS_URL` names, else an emulator. Use random names on it. */
export async function sharedSqs(): Promise<string> {
  const answer = await fetch(new URL('/sqs', inject('shared')))
  const text = await answer.text()
  if (!answer.ok) throw new Error(text)
  return text
}
