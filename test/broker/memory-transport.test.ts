import { beforeEach, describe, expect, test } from 'vitest'
import { bind, exchange, queue } from '../../src/core/entities.ts'
import { TopologyError } from '../../src/core/errors.ts'
import type { Outgoing, PublishResult } from '../../src/core/message.ts'
import type { Incoming, Session, Transport } from '../../src/core/transport.ts'
import { createMemoryTransport } from '../../src/transports/memory/index.ts'
import { waitFor } from '../support/wait.ts'

let transport: Transport
beforeEach(() => {
  transport = createMemoryTransport()
})

const open = (name = 'test'): Promise<Session> =>
  transport.open({
    url: new URL(`memory:${name}`),
    name: 'test',
    connectTimeoutMs: 1000,
    heartbeatMs: 0,
    handlers: { died() {}, blocked() {}, unblocked() {} },
    signal: new AbortController().signal,
  })

const outgoing = (routingKey: string, body: string, more: Partial<Outgoing> = {}): Outgoing => ({
  exchange: '',
  routingKey,
  body: Buffer.from(body),
  properties: {},
  mandatory: true,
  ...more,
})

const publish = (session: Session, ...messages: Outgoing[]): Promise<PublishResult[]> =>
  new Promise((resolve) => {
    const results = new Map<Outgoing, PublishResult>()
    session.publish(messages, (message, result) => {
      results.set(message, result)
      if (results.size === messages.length) resolve(messages.map((each) => results.get(each)!))
    })
  })

interface Listening {
  readonly got: Incoming[]
  readonly cancelled: string[]
  cancel(): Promise<void>
  bodies(count: number): Promise<string[]>
}

async function listen(session: Session, name: string, prefetch = 0, noAck = false): Promise<Listening> {
  const got: Incoming[] = []
  const cancelled: string[] = []
  const subscription = await session.subscribe({
    queue: name,
    prefetch,
    exclusive: false,
    noAck,
    arguments: {},
    onDelivery: (delivery) => got.push(delivery),
    onCancelled: (reason) => cancelled.push(reason),
  })
  return {
    got,
    cancelled,
    cancel: () => subscription.cancel(),
    async bodies(count) {
      await waitFor(() => got.length >= count, { what: `${count} deliveries` })
      return got.map(({ body }) => Buffer.from(body).toString())
    },
  }
}

describe('the memory transport', () => {
  test('sessions of one name share a broker, those of another do not', async () => {
    const [a, b, other] = await Promise.all([open('one'), open('one'), open('two')])
    await a.declareQueue(queue('q'))
    await publish(a, outgoing('q', 'x'))
    expect(await b.inspect('q')).toEqual({ name: 'q', messages: 1, consumers: 0 })
    await expect(other.inspect('q')).rejects.toMatchObject({ replyCode: 404 })
    await a.close()
    await b.close()
    expect((await (await open('one')).inspect('q')).messages).toBe(1)
  })

  test('says what became of a publish', async () => {
    const session = await open()
    await session.declareQueue(queue('q', { type: 'classic', maxLength: 1, overflow: 'reject-publish' }))
    expect(
      await publish(
        session,
        outgoing('q', 'taken'),
        outgoing('q', 'too much'),
        outgoing('nobody', 'x'),
        outgoing('', 'x', { exchange: 'missing' }),
        outgoing('q', 'x', { properties: { priority: 999 } }),
      ),
    ).toMatchObject([
      { status: 'confirmed', routed: true },
      { status: 'nacked', reason: "queue 'q' is full" },
      { status: 'confirmed', routed: false },
      { status: 'refused', reason: "NOT_FOUND - no exchange 'missing' in vhost '/'" },
      { status: 'refused' },
    ])
  })

  test('delivers what was published, whatever becomes of the buffer', async () => {
    const session = await open()
    const topic = exchange('videos', { type: 'topic' })
    await session.declareQueue(queue('q', { bindings: [bind(topic, 'video.*')] }))
    const body = Buffer.from('body')
    const properties = { contentType: 'text/plain', headers: { a: { b: [1, 'c'] } }, messageId: 'm', timestamp: 5000, priority: 1 }
    await publish(session, outgoing('video.new', '', { exchange: 'videos', body, properties }))
    body.fill(0)
    const got = await session.get('q')
    expect(got).toMatchObject({ exchange: 'videos', routingKey: 'video.new', queue: 'q', redelivered: false, deliveryCount: 0, properties })
    expect(Buffer.from(got!.body).toString()).toBe('body')
    expect(await session.get('q')).toBeUndefined()
  })

  test('settles: a requeue counts, a release does not, only the first call does anything', async () => {
    const session = await open()
    await session.declareQueue(queue('dead'))
    await session.declareQueue(queue('q', { deadLetterExchange: '', deadLetterRoutingKey: 'dead' }))
    await publish(session, outgoing('q', 'x'))
    const next = async (): Promise<Incoming> => (await session.get('q'))!
    let delivery = await next()
    expect(delivery.settle('release')).toBe(true)
    expect(delivery.settle('ack')).toBe(true)
    delivery = await next()
    expect([delivery.redelivered, delivery.deliveryCount]).toEqual([true, 0])
    await delivery.settle('requeue')
    delivery = await next()
    expect([delivery.redelivered, delivery.deliveryCount]).toEqual([true, 1])
    await delivery.settle('reject')
    expect([await session.inspect('q'), await session.inspect('dead')]).toMatchObject([{ messages: 0 }, { messages: 1 }])
    const dead = await session.get('dead')
    await dead?.settle('ack')
    expect((await session.inspect('dead')).messages).toBe(0)
  })

  test('what was delivered stays settleable after a cancel, and goes back with the session', async () => {
    const [publisher, session, next] = await Promise.all([open(), open(), open()])
    await publisher.declareQueue(queue('q'))
    await publish(publisher, outgoing('q', '1'), outgoing('q', '2'), outgoing('q', '3'))
    const listening = await listen(session, 'q', 2)
    expect(await listening.bodies(2)).toEqual(['1', '2'])
    await listening.cancel()
    await listening.cancel()
    expect(listening.got[0]!.settle('ack')).toBe(true)
    expect((await publisher.inspect('q')).messages).toBe(1)
    await session.close()
    await session.close()
    expect(listening.got[1]!.settle('ack')).toBe(false)
    expect(await (await listen(next, 'q')).bodies(2)).toEqual(['2', '3'])
  })

  test('a destroyed session counts as a failure, and settles nothing any more', async () => {
    const [session, next] = await Promise.all([open(), open()])
    await session.declareQueue(queue('q'))
    await publish(session, outgoing('q', 'x'))
    await (await listen(session, 'q')).bodies(1)
    session.publish([outgoing('q', 'y')], () => {
      throw new Error('settled after destroy')
    })
    session.destroy()
    const heir = await listen(next, 'q')
    expect(await heir.bodies(2)).toEqual(['x', 'y'])
    expect(heir.got.map(({ deliveryCount }) => deliveryCount)).toEqual([1, 0])
  })

  test('exclusive queues are locked and go with their session; subscriptions hear when their queue goes', async () => {
    const [a, b] = await Promise.all([open(), open()])
    const { name } = await a.declareQueue(queue(''))
    expect(name).toMatch(/^amq\.gen-/)
    await expect(b.inspect(name)).rejects.toMatchObject({ replyCode: 405 })
    await a.close()
    await expect(b.inspect(name)).rejects.toBeInstanceOf(TopologyError)

    await b.declareQueue(queue('q'))
    const listening = await listen(b, 'q')
    await b.deleteQueue('q')
    expect(listening.cancelled).toEqual(['the queue "q" was deleted'])
  })

  test('unbinds, purges, deletes, and refuses what is not the same', async () => {
    const session = await open()
    const topic = exchange('t', { type: 'topic' })
    await session.declareQueue(queue('q', { bindings: [bind(topic, '#')] }))
    await publish(session, outgoing('x', '1', { exchange: 't' }))
    await session.unbind('q', 't', '#', {})
    await session.unbind('q', 't', 'never', {})
    await session.unbind('gone', 't', '#', {})
    await publish(session, outgoing('x', '2', { exchange: 't' }))
    expect(await session.purge('q')).toBe(1)
    await expect(session.declareQueue(queue('q', { type: 'classic' }))).rejects.toMatchObject({ replyCode: 406 })
    await expect(session.declareExchange(exchange('t', { type: 'fanout' }))).rejects.toMatchObject({ replyCode: 406 })
    await session.deleteExchange('t')
    await session.deleteQueue('q')
    await expect(session.inspect('q')).rejects.toMatchObject({ replyCode: 404 })
  })
})
