/** A connection to a scripted broker, with a clock that a test moves by hand. */
import { onTestFinished } from 'vitest'
import { Connection } from '../../src/core/connection.ts'
import type { ConnectionEvent, ConnectionOptions } from '../../src/core/connection-options.ts'
import { parseUrls } from '../../src/core/urls.ts'
import { FakeClock } from './fake-clock.ts'
import { ScriptedTransport, type Sent } from './scripted-transport.ts'

export const CONFIRMED = { status: 'confirmed', routed: true } as const

export function setUp(options: ConnectionOptions = {}, url = 'scripted://a') {
  const transport = new ScriptedTransport()
  const clock = new FakeClock()
  const events: ConnectionEvent[] = []
  const connection = new Connection(parseUrls(url), async () => transport, {
    clock,
    onEvent: (event) => events.push(event),
    ...options,
  })
  onTestFinished(async () => {
    const closed = connection.close({ deadlineMs: 10 })
    await clock.pass(100)
    await closed
  })
  return { transport, clock, connection, events, publishing: () => transport.of('publish')!, consuming: () => transport.of('consume')! }
}

/** A promise's end, without failing the test when it rejects before it is looked at. */
export function endOf<T>(promise: Promise<T>): { value?: T; error?: unknown } {
  const end: { value?: T; error?: unknown } = {}
  promise.then(
    (value) => (end.value = value),
    (error: unknown) => (end.error = error),
  )
  return end
}

export const bodies = ({ sent }: { readonly sent: readonly Sent[] }): string[] =>
  sent.map(({ message }) => Buffer.from(message.body).toString())
