import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bind, defaultExchange, exchange, queue } from '../../src/core/entities.ts'
import { TopologyError } from '../../src/core/errors.ts'
import type { Outgoing } from '../../src/core/message.ts'
import { amqpTransport } from '../../src/transports/amqp/index.ts'
import { builtinTransport } from '../../src/transports/amqp/builtin.ts'
import { MARK } from '../support/processes.ts'
import { runName, tempDir } from '../support/run-folder.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { waitFor } from '../support/wait.ts'
import { consume, message, openSession, publish, type Recorded, unique } from './sessions.ts'

const confirmed = { status: 'confirmed', routed: true }
const unrouted = { status: 'confirmed', routed: false }

describe.each([
  // RabbitMQ 3.10 counts what was given back like what failed.
  { broker: 'RabbitMQ', exists: hasRabbit(), at: sharedRabbit, transport: amqpTransport, counted: [0, 1, 2], countedOnClassic: undefined },
  {
    broker: 'the built-in broker',
    exists: true,
    at: () => `omnibus://${tempDir('data')}`,
    transport: builtinTransport,
    counted: [0, 1, 1],
    countedOnClassic: 1,
  },
])('the AMQP transport on $broker', ({ exists, at, transport, counted, countedOnClassic }) => {
  if (!exists) return it.skip('is not there')
  let url: string
  let opened: Recorded
  beforeAll(async () => {
    // Inherited by a broker that is started in the background, so that the run finds and ends it.
    process.env[MARK] = runName()
    url = await at()
    opened = await openSession(url, { transport })
  })
  afterAll(() => opened?.session.close())

  const classic = (prefix: string, options: object = {}): ReturnType<typeof queue> => queue(unique(prefix), { type: 'classic', ...options })
  const declared = async (options: object = {}): Promise<string> => (await opened.session.declareQueue(classic('q', options))).name

  describe('topology', () => {
    it('declares exchanges, queues and bindings, twice the same, and tells their counts', async () => {
      const { session } = opened
      const source = exchange(unique('x'), { type: 'topic' })
      const incoming = classic('q', { bindings: [bind(source, 'video.*'), bind(source, 'audio.#')] })
      await session.declareExchange(source)
      expect(await session.declareQueue(incoming)).toEqual({ name: incoming.name, messages: 0, consumers: 0 })
      await session.declareQueue(incoming)
      const to = (routingKey: string): Outgoing => message(routingKey, 'm', { exchange: source.name })
      expect(await publish(session, [to('video.created'), to('audio.a.b'), to('text.x')])).toEqual([confirmed, confirmed, unrouted])
      expect(await session.inspect(incoming.name)).toEqual({ name: incoming.name, messages: 2, consumers: 0 })
      await session.unbind(incoming.name, source.name, 'video.*', {})
      await session.unbind(incoming.name, source.name, 'video.*', {})
      expect(await publish(session, [to('video.created')])).toEqual([unrouted])
      expect(await session.purge(incoming.name)).toBe(2)
      await session.deleteQueue(incoming.name)
      await session.deleteQueue(incoming.name)
      await session.deleteExchange(source.name)
      await session.unbind(incoming.name, source.name, 'video.*', {})
      await expect(session.inspect(incoming.name)).rejects.toThrow(TopologyError)
    })

    it('lets the broker name a queue, and binds to the default exchange by doing nothing', async () => {
      const state = await opened.session.declareQueue(queue('', {}))
      expect(state.name).toMatch(/^amq\.gen-/)
      const bound = classic('q')
      await opened.session.declareQueue({ ...bound, bindings: [bind(defaultExchange, bound.name)] })
    })

    it('rejects what the broker refuses, by name and code, and the session lives on', async () => {
      const { session, deaths } = opened
      const name = await declared()
      const refused = (what: RegExp, replyCode: number): unknown =>
        expect.objectContaining({ name: 'TopologyError', replyCode, message: expect.stringMatching(what) })
      await expect(session.inspect('no such queue')).rejects.toEqual(refused(/Inspecting queue "no such queue".*NOT_FOUND/, 404))
      await expect(session.declareQueue({ ...classic('q'), name, arguments: { 'x-max-length': 1 } })).rejects.toEqual(
        refused(/Declaring queue ".*PRECONDITION_FAILED.*x-max-length/, 406),
      )
      await expect(session.declareQueue({ ...classic('q'), name, durable: false })).rejects.toMatchObject({ argument: 'durable' })
      await expect(session.declareQueue({ ...classic('q'), name, arguments: { 'x-max-length': 1 } })).rejects.toMatchObject({
        argument: 'x-max-length',
      })
      await expect(consume(session, 'no such queue')).rejects.toEqual(refused(/Consuming from queue "no such queue"/, 404))
      await expect(session.get('no such queue')).rejects.toEqual(refused(/Fetching from queue "no such queue"/, 404))
      await expect(session.deleteExchange('amq.topic')).rejects.toEqual(refused(/Deleting exchange "amq.topic"/, 403))
      await expect(session.declareExchange(exchange('amq.topic', { type: 'fanout' }))).rejects.toEqual(refused(/amq.topic/, 406))
      const other = await openSession(url, { transport })
      const exclusive = await other.session.declareQueue(queue(unique('mine'), { exclusive: true }))
      await expect(session.inspect(exclusive.name)).rejects.toEqual(refused(/RESOURCE_LOCKED/, 405))
      await other.session.close()
      expect(deaths).toEqual([])
      expect((await session.inspect(name)).name).toBe(name)
    })

    it('runs what was asked for together, failures included', async () => {
      const name = await declared()
      const results = await Promise.allSettled([
        opened.session.inspect(name),
        opened.session.inspect('nope'),
        opened.session.inspect(name),
        opened.session.inspect('nope'),
        opened.session.purge(name),
      ])
      expect(results.map((r) => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'])
    })
  })

  describe('publishing', () => {
    it('confirms thousands in flight, each once', async () => {
      const name = await declared()
      const messages = Array.from({ length: 5000 }, (_, i) => message(name, `m${i}`))
      expect(await publish(opened.session, messages)).toEqual(messages.map(() => confirmed))
      const { bodies } = await consume(opened.session, name)
      await waitFor(() => bodies.length === 5000, { what: 'all deliveries' })
      expect(bodies).toEqual(messages.map((_, i) => `m${i}`))
    })

    it('tells unroutable ones from routed ones, also when they look alike', async () => {
      const name = await declared()
      const key = unique('nowhere')
      const messages = Array.from({ length: 300 }, (_, i) =>
        i % 3 === 0
          ? message(key, 'same', { properties: { messageId: `${i}` } })
          : i % 3 === 1
            ? message(name, 'same')
            : message(key, 'same'),
      )
      messages.push(message(unique('nowhere'), 'silent', { mandatory: false }))
      const results = await publish(opened.session, messages)
      expect(results).toEqual(messages.map((m) => (m.routingKey === name || !m.mandatory ? confirmed : unrouted)))
    })

    it.each([0, 1, 16 * 1024, 131_072 - 8, 131_072 - 7, 1_000_000])('carries a body of %i bytes and all properties', async (size) => {
      const name = await declared()
      const body = Buffer.alloc(size, 'omnibus')
      const properties = {
        contentType: 'application/octet-stream',
        contentEncoding: 'binary',
        headers: { text: 'é', number: 1, big: 2 ** 40, deep: { list: [true, null, 1.5] }, at: new Date(1000) },
        persistent: true,
        priority: 3,
        correlationId: 'c',
        replyTo: 'r',
        expirationMs: 600_000,
        messageId: 'm',
        timestamp: 1_700_000_000_000,
        type: 't',
        userId: 'guest',
        appId: 'a',
      }
      expect(await publish(opened.session, [message(name, body, { properties })])).toEqual([confirmed])
      const got = await opened.session.get(name)
      expect(Buffer.from(got?.body ?? []).equals(body)).toBe(true)
      expect(got?.properties).toEqual(properties)
      expect(got).toMatchObject({ exchange: '', routingKey: name, queue: name, redelivered: false, deliveryCount: 0 })
      expect(got?.settle('ack')).toBe(true)
      expect(await opened.session.get(name)).toBeUndefined()
    })

    it('refuses only what met a missing exchange, and sends the rest again', async () => {
      const name = await declared()
      const missing = unique('no-exchange')
      const messages = Array.from({ length: 200 }, (_, i) =>
        i % 50 === 25 ? message('k', 'lost', { exchange: missing }) : message(name, `m${i}`),
      )
      const results = await publish(opened.session, messages)
      expect(results).toEqual(
        messages.map((m) =>
          m.exchange === missing
            ? { status: 'refused', reason: expect.stringMatching(`NOT_FOUND - no exchange '${missing}'.*404`) }
            : confirmed,
        ),
      )
      const { bodies } = await consume(opened.session, name)
      await waitFor(() => new Set(bodies).size === 196, { what: 'every message that was confirmed' })
      expect(opened.deaths).toEqual([])
    })

    it('finds out which one broke the channel when the broker does not say', async () => {
      const name = await declared()
      const messages = Array.from({ length: 60 }, (_, i) =>
        i === 20 || i === 40 ? message(name, 'forged', { properties: { userId: 'somebody else' } }) : message(name, `m${i}`),
      )
      const results = await publish(opened.session, messages)
      const refused = { status: 'refused', reason: expect.stringMatching(/user_id property set to 'somebody else'.*406/) }
      expect(results).toEqual(messages.map((m) => (m.properties.userId ? refused : confirmed)))
      expect(await publish(opened.session, [message(name)])).toEqual([confirmed])
    })

    it('refuses what cannot be encoded, and reports a nack of a full queue', async () => {
      const name = await declared({ maxLength: 1, overflow: 'reject-publish' })
      const [tooLong, badPriority, first, second] = await publish(opened.session, [
        message(name, 'x', { properties: { headers: { big: 'x'.repeat(140_000) } } }),
        message(name, 'x', { properties: { priority: 1000 } }),
        message(name, 'first'),
        message(name, 'second'),
      ])
      expect(tooLong).toEqual({ status: 'refused', reason: expect.stringMatching(/frame of \d+ bytes, but frame_max is 131072/) })
      expect(badPriority).toEqual({ status: 'refused', reason: expect.stringMatching(/priority/) })
      expect(first).toEqual(confirmed)
      expect(second).toEqual({ status: 'nacked', reason: expect.stringMatching(/nack/) })
    })
  })

  describe('consuming', () => {
    it('holds the prefetch, for each subscription alone', async () => {
      const name = await declared()
      await publish(
        opened.session,
        Array.from({ length: 20 }, (_, i) => message(name, `m${i}`)),
      )
      const first = await consume(opened.session, name, { prefetch: 3 })
      const second = await consume(opened.session, name, { prefetch: 5 })
      await waitFor(() => first.bodies.length === 3 && second.bodies.length === 5, { what: 'both prefetches to fill' })
      expect((await opened.session.inspect(name)).messages).toBe(12)
      void first.deliveries[0]?.settle('ack')
      await waitFor(() => first.bodies.length === 4, { what: 'one more delivery' })
      expect(second.bodies.length).toBe(5)
    })

    it('acks in any order, single and many, and leaves nothing behind', async () => {
      const name = await declared()
      const count = 1000
      await publish(
        opened.session,
        Array.from({ length: count }, (_, i) => message(name, `m${i}`)),
      )
      const { deliveries, subscription } = await consume(opened.session, name)
      await waitFor(() => deliveries.length === count, { what: 'all deliveries' })
      const order = deliveries.toSorted((a, b) => hash(a.body) - hash(b.body))
      for (const [i, delivery] of order.entries()) {
        expect(delivery.settle(i % 7 === 0 ? 'reject' : 'ack')).toBe(true)
        // Only the first settlement counts, also when it was another one.
        expect(delivery.settle('requeue')).toBe(true)
        if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await subscription.cancel()
      const other = await openSession(url, { transport })
      expect(await other.session.inspect(name)).toEqual({ name, messages: 0, consumers: 0 })
      await other.session.close()
      expect(opened.deaths).toEqual([])
    })

    it('rejects to the dead letters, requeues and releases to the same queue, and counts where the broker counts', async () => {
      const dead = await declared()
      const live = queue(unique('quorum'), { type: 'quorum', deadLetterExchange: '', deadLetterRoutingKey: dead })
      await opened.session.declareQueue(live)
      await publish(opened.session, [message(live.name, 'm', { properties: { headers: { own: 1 } } })])
      const counts: (number | undefined)[] = []
      const { deliveries } = await consume(opened.session, live.name, {
        onDelivery: (delivery) => {
          counts.push(delivery.deliveryCount)
          void delivery.settle((['requeue', 'release', 'reject'] as const)[counts.length - 1] ?? 'ack')
        },
      })
      const letter = await waitFor(() => opened.session.get(dead), { what: 'the dead letter' })
      expect(counts).toEqual(counted)
      expect(deliveries.map((d) => d.redelivered)).toEqual([false, true, true])
      expect(letter.properties.headers).toMatchObject({ own: 1, 'x-death': [{ queue: live.name, reason: 'rejected', count: 1 }] })
      void letter.settle('ack')

      const plain = await declared()
      await publish(opened.session, [message(plain)])
      void (await opened.session.get(plain))?.settle('requeue')
      const again = await waitFor(() => opened.session.get(plain), { what: 'the message again' })
      expect(again).toMatchObject({ redelivered: true, deliveryCount: countedOnClassic })
      void again.settle('ack')
    })

    it('keeps what was delivered settleable after cancel, and frees the channel after the last', async () => {
      const name = await declared()
      await publish(opened.session, [message(name, 'a'), message(name, 'b')])
      const { deliveries, subscription, cancellations } = await consume(opened.session, name, { prefetch: 2 })
      await waitFor(() => deliveries.length === 2, { what: 'two deliveries' })
      await Promise.all([subscription.cancel(), subscription.cancel()])
      await publish(opened.session, [message(name, 'c')])
      expect(await opened.session.inspect(name)).toEqual({ name, messages: 1, consumers: 0 })
      expect(deliveries.map((d) => d.settle('ack'))).toEqual([true, true])
      await subscription.cancel()
      const next = await consume(opened.session, name)
      await waitFor(() => next.bodies.length > 0, { what: 'the next message' })
      expect(next.bodies).toEqual(['c'])
      expect(deliveries.length).toBe(2)
      expect(cancellations).toEqual([])
    })

    it('tells when the broker ends a subscription', async () => {
      const name = await declared()
      await publish(opened.session, [message(name)])
      const { deliveries, cancellations, subscription } = await consume(opened.session, name)
      await waitFor(() => deliveries.length === 1, { what: 'the delivery' })
      await opened.session.deleteQueue(name)
      await waitFor(() => cancellations.length > 0, { what: 'the cancellation' })
      expect(cancellations).toEqual([expect.stringMatching(`consumer of queue "${name}"`)])
      await subscription.cancel()
      expect(opened.deaths).toEqual([])
    })

    it('takes without acks, and alone where asked to', async () => {
      const name = await declared()
      await publish(opened.session, [message(name, 'a'), message(name, 'b')])
      const { deliveries } = await consume(opened.session, name, { noAck: true, exclusive: true, prefetch: 1 })
      await waitFor(() => deliveries.length === 2, { what: 'both, whatever the prefetch' })
      expect(deliveries[0]?.settle('requeue')).toBe(true)
      await expect(consume(opened.session, name)).rejects.toThrow(/ACCESS_REFUSED.*exclusive/)
      expect(opened.deaths).toEqual([])
    })

    it('fetches single messages, also from more queues than it keeps channels for', async () => {
      const names = await Promise.all(Array.from({ length: 30 }, () => declared()))
      await publish(
        opened.session,
        names.flatMap((name) => [message(name, 'a'), message(name, 'b')]),
      )
      const fetched = await Promise.all(names.flatMap((name) => [opened.session.get(name), opened.session.get(name)]))
      await expect(opened.session.get('no such queue')).rejects.toThrow(TopologyError)
      expect(fetched.map((d) => Buffer.from(d?.body ?? []).toString())).toEqual(names.flatMap(() => ['a', 'b']))
      expect(fetched.map((d) => d?.settle('ack'))).toEqual(fetched.map(() => true))
      expect(await Promise.all(names.map((name) => opened.session.get(name)))).toEqual(names.map(() => undefined))
    })

    it('gives unsettled deliveries back on close, after telling what was settled', async () => {
      const name = await declared()
      const { session, deaths } = await openSession(url, { transport })
      await publish(session, [message(name, 'a'), message(name, 'b'), message(name, 'c')])
      const { deliveries } = await consume(session, name)
      await waitFor(() => deliveries.length === 3, { what: 'three deliveries' })
      void deliveries[1]?.settle('ack')
      await Promise.all([session.close(), session.close()])
      expect(deliveries[0]?.settle('ack')).toBe(false)
      expect((await opened.session.inspect(name)).messages).toBe(2)
      expect(deaths).toEqual([])
      await expect(session.inspect(name)).rejects.toThrow(/closed/)
    })
  })
})

function hash(bytes: Uint8Array): number {
  let value = 0
  for (const byte of bytes) value = (value * 31 + byte * 7919) % 10_007
  return value
}
