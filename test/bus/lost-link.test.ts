/** What the pipeline does when the link is lost under a handler: nothing twice that need not be, nothing settled for nothing. */
import { describe, expect, it, onTestFinished } from 'vitest'
import { Bus } from '../../src/bus/bus.ts'
import { Connection } from '../../src/core/connection.ts'
import { type ConsumePolicy, consume, event, type HandlerContext, type Message, on, queue } from '../../src/index.ts'
import { ScriptedTransport } from '../core/scripted-transport.ts'
import { waitFor } from '../support/wait.ts'

const Happened = event<{ n: number }>('test.happened')
const work = queue('work', { listensTo: [Happened] })

async function setUp(handle: (message: Message<{ n: number }>, context: HandlerContext) => unknown, policy: ConsumePolicy = {}) {
  const transport = new ScriptedTransport()
  const options = { heartbeatMs: 0, backoff: { minMs: 1, maxMs: 5 } }
  const bus = new Bus((onEvent) => new Connection([new URL('scripted://a')], async () => transport, { ...options, onEvent }), {
    onEvent: () => undefined,
  })
  onTestFinished(() => bus.close({ deadlineMs: 100 }))
  await bus.consume(consume(work, policy, on(Happened, handle)))
  const session = () => transport.of('consume')!
  return {
    session,
    deliver: (n: number, again: { redelivered?: boolean; deliveryCount?: number } = {}) =>
      session().deliver(JSON.stringify({ n }), {
        ...again,
        properties: { contentType: 'application/json', type: Happened.type, messageId: `id-${n}` },
      }),
    /** The link breaks; resolves when the next one is subscribed. */
    lose: async () => {
      const lost = session()
      lost.die()
      await waitFor(() => session() !== lost && session().subscriptions.length > 0, { what: 'the next subscription' })
    },
    published: () => transport.of('publish')!.sent.map(({ message }) => message.routingKey),
    confirm: () => transport.of('publish')!.sent.forEach((sent) => sent.answer({ status: 'confirmed', routed: true })),
  }
}

/** A handler that waits to be let go. */
function gate() {
  const calls: { n: number; end: (error?: Error) => void }[] = []
  const handle = ({ data }: Message<{ n: number }>) =>
    new Promise<void>((resolve, reject) => calls.push({ n: data.n, end: (error) => (error ? reject(error) : resolve()) }))
  return { calls, handle }
}

const settledBy = (session: { settled: [string, string][] }) => session.settled.map(([, settlement]) => settlement)

describe('a message that comes again after a lost link', () => {
  it('joins its handler that still runs, and is acked when that ends', async () => {
    const { calls, handle } = gate()
    const { deliver, lose, session } = await setUp(handle)
    deliver(1)
    await waitFor(() => calls.length === 1, { what: 'the handler' })
    await lose()
    deliver(1, { redelivered: true })
    calls[0]!.end()
    await waitFor(() => settledBy(session()).length === 1, { what: 'the settlement' })
    expect(settledBy(session())).toEqual(['ack'])
    expect(calls).toHaveLength(1)
  })

  it('is acked without being handled again when it was handled before the link broke', async () => {
    const { calls, handle } = gate()
    const { deliver, lose, session } = await setUp(handle)
    deliver(1)
    await waitFor(() => calls.length === 1, { what: 'the handler' })
    await lose()
    calls[0]!.end()
    await new Promise((resolve) => setImmediate(resolve))
    deliver(1, { redelivered: true })
    await waitFor(() => settledBy(session()).length === 1, { what: 'the settlement' })
    expect(settledBy(session())).toEqual(['ack'])
    expect(calls).toHaveLength(1)
    // Only once: a message with the same id that is sent anew is new work.
    deliver(1, { redelivered: false })
    await waitFor(() => calls.length === 2, { what: 'the second handler' })
    calls[1]!.end()
  })

  it('is not also retried by the delivery that was lost', async () => {
    const { calls, handle } = gate()
    const { deliver, lose, published, session } = await setUp(handle)
    deliver(1)
    await waitFor(() => calls.length === 1, { what: 'the handler' })
    await lose()
    calls[0]!.end(new Error('failed after the loss'))
    await new Promise((resolve) => setImmediate(resolve))
    deliver(1, { redelivered: true })
    await waitFor(() => calls.length === 2, { what: 'the handler, again' })
    calls[1]!.end()
    await waitFor(() => settledBy(session()).length === 1, { what: 'the settlement' })
    expect(published()).toEqual([])
    expect(settledBy(session())).toEqual(['ack'])
  })
})

it('no more handlers run than the concurrency, whatever the next link delivers', async () => {
  const { calls, handle } = gate()
  const { deliver, lose, session } = await setUp(handle, { concurrency: 1 })
  deliver(1)
  await waitFor(() => calls.length === 1, { what: 'the handler' })
  await lose()
  deliver(2)
  await new Promise((resolve) => setImmediate(resolve))
  expect(calls.map(({ n }) => n)).toEqual([1])
  calls[0]!.end()
  await waitFor(() => calls.length === 2, { what: 'the second handler' })
  calls[1]!.end()
  await waitFor(() => settledBy(session()).length === 1, { what: 'the settlement' })
})

it('a message that took its process down too often is dead-lettered unhandled', async () => {
  const { calls, handle } = gate()
  const { confirm, deliver, published, session } = await setUp(handle, { maxDeaths: 3 })
  deliver(1, { redelivered: true, deliveryCount: 2 })
  await waitFor(() => calls.length === 1, { what: 'the handler' })
  deliver(2, { redelivered: true, deliveryCount: 3 })
  await waitFor(() => published().length === 1, { what: 'the dead letter' })
  expect(published()).toEqual(['work.dlq'])
  expect(settledBy(session())).toEqual([])
  confirm()
  await waitFor(() => settledBy(session()).length === 1, { what: 'the ack, after the confirm' })
  expect(calls).toHaveLength(1)
  calls[0]!.end()
})
