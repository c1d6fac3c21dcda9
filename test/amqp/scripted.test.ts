import { describe, expect, it } from 'vitest'
import type { Method } from '../../src/amqp/index.ts'
import type { PublishResult } from '../../src/core/message.ts'
import { waitFor } from '../support/wait.ts'
import { type Script, startScriptedServer } from './scripted-server.ts'
import { consume, message, openSession, publish } from './sessions.ts'

const confirmed: PublishResult = { status: 'confirmed', routed: true }
const unrouted: PublishResult = { status: 'confirmed', routed: false }

/** Collects publishes and answers when all have come. */
function afterPublishes(count: number, then: (peer: Parameters<Script>[2], properties: readonly Uint8Array[]) => void): Script {
  const properties: Uint8Array[] = []
  return (method, content, peer) => {
    if (method.name !== 'basic.publish' || !content) return
    properties.push(content.propertyBytes)
    if (properties.length === count) then(peer, properties)
  }
}

const gone = (routingKey: string): { replyCode: number; replyText: string; exchange: string; routingKey: string } => ({
  replyCode: 312,
  replyText: 'NO_ROUTE',
  exchange: '',
  routingKey,
})

describe('a broker that answers out of the ordinary', () => {
  it('may return any of several messages that look alike: the id tells which', async () => {
    await using server = await startScriptedServer(
      afterPublishes(3, ({ writer, channel }, properties) => {
        writer.content(channel, 'basic.return', gone('q'), properties[1] ?? Buffer.of(), Buffer.from('same'))
        writer.method(channel, 'basic.ack', { deliveryTag: 3, multiple: true })
      }),
    )
    const { session } = await openSession(server.url)
    const messages = ['a', 'b', 'c'].map((messageId) => message('q', 'same', { properties: { messageId } }))
    expect(await publish(session, messages)).toEqual([confirmed, unrouted, confirmed])
    await session.close()
  })

  it('may confirm in any order, with nacks among them', async () => {
    await using server = await startScriptedServer(
      afterPublishes(6, ({ writer, channel }) => {
        writer.method(channel, 'basic.ack', { deliveryTag: 4 })
        writer.method(channel, 'basic.nack', { deliveryTag: 2, multiple: true })
        writer.method(channel, 'basic.ack', { deliveryTag: 4, multiple: true })
        writer.method(channel, 'basic.nack', { deliveryTag: 6 })
        // A confirm of what was never published, or twice, changes nothing.
        writer.method(channel, 'basic.ack', { deliveryTag: 99 })
        writer.method(channel, 'basic.ack', { deliveryTag: 5 })
      }),
    )
    const { session, deaths } = await openSession(server.url)
    const results = await publish(
      session,
      Array.from({ length: 6 }, (_, i) => message('q', `${i}`)),
    )
    expect(results.map((result) => result.status)).toEqual(['nacked', 'nacked', 'confirmed', 'confirmed', 'confirmed', 'nacked'])
    expect(deaths).toEqual([])
    await session.close()
  })

  it('may end a consumer in the same breath as it begins', async () => {
    await using server = await startScriptedServer((method, _content, { writer, channel }) => {
      if (method.name === 'basic.qos') writer.method(channel, 'basic.qos-ok', {})
      if (method.name !== 'basic.consume') return
      writer.method(channel, 'basic.consume-ok', { consumerTag: method.args.consumerTag })
      writer.method(channel, 'channel.close', { replyCode: 406, replyText: 'PRECONDITION_FAILED - timeout', classId: 0, methodId: 0 })
    })
    const { session, deaths } = await openSession(server.url)
    const { cancellations, subscription } = await consume(session, 'q')
    await waitFor(() => cancellations.length > 0, { what: 'the cancellation' })
    expect(cancellations).toEqual([expect.stringMatching(/channel that consumed from queue "q" was closed: .*timeout \(406\)/)])
    await subscription.cancel()
    expect(deaths).toEqual([])
    await session.close()
  })

  it('may go on delivering after our goodbye: nobody hears of it', async () => {
    let deliver = (): void => undefined
    await using server = await startScriptedServer(
      (method, _content, { writer, channel }) => {
        if (method.name === 'basic.qos') writer.method(channel, 'basic.qos-ok', {})
        if (method.name !== 'basic.consume') return
        const { consumerTag } = method.args
        writer.method(channel, 'basic.consume-ok', { consumerTag })
        const args = { consumerTag, deliveryTag: 1, redelivered: false, exchange: '', routingKey: 'q' }
        deliver = () => writer.content(channel, 'basic.deliver', args, Buffer.alloc(2), Buffer.from('late'))
      },
      () => deliver(),
    )
    const { session, deaths } = await openSession(server.url)
    const { bodies } = await consume(session, 'q')
    await session.close()
    expect([bodies, deaths]).toEqual([[], []])
  })

  it('may close any number of channels: their numbers are used again', async () => {
    await using server = await startScriptedServer((method, _content, { writer, channel }) => {
      const args = { replyCode: 404, replyText: 'NOT_FOUND', classId: 50, methodId: 10 }
      if (method.name === 'queue.declare') writer.method(channel, 'channel.close', args)
    })
    const { session, deaths } = await openSession(server.url)
    // The server allows 100 at a time.
    for (let i = 0; i < 150; i++) await expect(session.inspect('q')).rejects.toThrow(/NOT_FOUND/)
    expect(deaths).toEqual([])
    await session.close()
  })

  it('breaks the session, once, when it breaks the protocol', async () => {
    let farewell: Method | undefined
    await using server = await startScriptedServer(
      (method, _content, { writer, channel }) => {
        if (method.name === 'queue.declare') writer.method(channel, 'queue.bind-ok', {})
      },
      (method) => (farewell = method),
    )
    const { session, deaths } = await openSession(server.url)
    await expect(session.inspect('q')).rejects.toThrow(/broke the protocol: queue\.bind-ok came where queue\.declare-ok was expected/)
    expect(deaths).toEqual([expect.objectContaining({ fatal: false })])
    // The broker's log shall say why we left.
    await waitFor(() => farewell, { what: 'the goodbye' })
    expect(farewell).toMatchObject({ name: 'connection.close', args: { replyCode: 503 } })
    await session.close()
    expect(deaths.length).toBe(1)
  })

  it('may send properties that cannot be read: the message says so when asked, and can be rejected', async () => {
    const settled: string[] = []
    await using server = await startScriptedServer((method, _content, { writer, channel }) => {
      if (method.name === 'basic.qos') writer.method(channel, 'basic.qos-ok', {})
      if (method.name === 'basic.reject') settled.push(method.name)
      if (method.name !== 'basic.consume') return
      const { consumerTag } = method.args
      writer.method(channel, 'basic.consume-ok', { consumerTag })
      const args = { consumerTag, deliveryTag: 1, redelivered: true, exchange: '', routingKey: 'q' }
      // Flags announce headers, and there are none.
      writer.content(channel, 'basic.deliver', args, Buffer.from('2000', 'hex'), Buffer.from('body'))
    })
    const { session, deaths } = await openSession(server.url)
    const { deliveries, bodies } = await consume(session, 'q')
    await waitFor(() => deliveries.length > 0, { what: 'the delivery' })
    expect(bodies).toEqual(['body'])
    expect(() => deliveries[0]?.properties).toThrow(expect.objectContaining({ name: 'CodecError' }))
    expect(deliveries[0]?.deliveryCount).toBeUndefined()
    expect(deliveries[0]?.settle('reject')).toBe(true)
    await waitFor(() => settled.length > 0, { what: 'the reject' })
    expect(deaths).toEqual([])
    await session.close()
  })
})
