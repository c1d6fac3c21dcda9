import { inject } from 'vitest'
import { have } from './packages.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the global setup hands out what a whole run shares. */
    shared: string
  }
}

/** There is a RabbitMQ to test against, at `AMQP_URL` or installed: for `describe.runIf`. */
export const hasRabbit = (): boolean => process.env['AMQP_URL'] !== undefined || have('rabbitmq-server')

/**
 * The URL of the one RabbitMQ a whole test run shares: the one `AMQP_URL` names, else a private instance, started by
 * the first who asks. Use random names on it.
 */
export async function sharedRabbit(): Promise<string> {
  const answer = await fetch(new URL('/rabbitmq', inject('shared')))
  const text = await answer.text()
  if (!answer.ok) throw new Error(text)
  return text
}
