/** What a forwarder sends, and what its target's answers make of a message; on each broker. */
import { createHmac } from 'node:crypto'
import { hostname } from 'node:os'
import { createBus, event, queue } from '../../src/index.ts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, type BrokerProcess } from '../support/broker.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { hasRedis, sharedRedis } from '../support/shared-redis.ts'
import { sharedSqs } from '../support/shared-sqs.ts'
import { unique } from '../bus/brokers.ts'
import { type Answer, forwarding, startTarget, until } from './house.ts'

const shared: Readonly<Record<string, { readonly isThere: () => boolean; readonly url: () => Promise<string> }>> = {
  RabbitMQ: { isThere: hasRabbit, url: sharedRabbit },
  Redis: { isThere: hasRedis, url: sharedRedis },
  SQS: { isThere: () => true, url: sharedSqs },
}

describe.each(['the built-in broker', ...Object.keys(shared)])('on %s', (where) => {
  const isThere = shared[where]?.isThere() ?? true
  describe.runIf(isThere)('', () => {
    let broker: BrokerProcess | undefined
    let url = ''
    beforeAll(async () => {
      url = (await shared[where]?.url()) ?? (broker = await startBroker()).tcpUrl
    })
    afterAll(() => broker?.[Symbol.asyncDispose]())

    test('an event is a CloudEvent in binary mode, signed and with the token', async () => {
      const target = await startTarget()
      const Placed = event<{ item: string }>('order.placed.v1')
      const orders = queue(unique('orders'), { listensTo: [Placed] })
      const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
      const { waiting } = await forwarding(url, { queue: orders, to: target.url, secret, token: 'canary' })
      await using bus = createBus({ url, source: 'shöp', declares: [orders] })
      const headers = {
        traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
        tenant: 'a "b" %ü',
        authorization: 'mine',
        when: new Date(0),
      }
      await bus.publish(Placed, { item: 'kettle' }, { id: '0a1', correlationId: 'c1', headers })
      await until('the request', () => target.received.length === 1)
      const [request] = target.received
      expect(request).toMatchObject({ method: 'POST', url: '/events', body: '{"item":"kettle"}' })
      expect(request?.headers).toMatchObject({
        'content-type': 'application/json',
        'content-length': '17',
        'ce-specversion': '1.0',
        'ce-id': '0a1',
        'ce-type': 'order.placed.v1',
        'ce-source': 'sh%25C3%25B6p',
        'ce-correlationid': 'c1',
        'ce-time': expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        traceparent: headers.traceparent,
        'x-bus-tenant': 'a%20%22b%22%20%25%C3%BC',
        'x-bus-authorization': 'mine',
        'x-bus-when': '1970-01-01T00:00:00.000Z',
        'x-bus-queue': orders.name,
        'x-bus-attempt': '1',
        authorization: 'Bearer canary',
        'webhook-id': '0a1',
      })
      const { 'webhook-timestamp': at, 'webhook-signature': signature } = request?.headers ?? {}
      const signed = createHmac('sha256', Buffer.alloc(32, 7))
        .update(`0a1.${String(at)}.${request?.body}`)
        .digest('base64')
      expect(signature).toBe(`v1,${signed}`)
      await until('the ack', async () => (await waiting()) === 0)
    })

    test('a plain message gets what it lacks; compression by Kombu is undone', async () => {
      const target = await startTarget()
      const { connection, queue: plain } = await forwarding(url, { queue: unique('plain'), to: target.url })
      await connection.publish(plain, 'grüße', {
        compression: 'gzip',
        headers: { cloudEvents_subject: 'greeting', 'bad name': 1, list: [1] },
      })
      await connection.publish(plain, Buffer.from([255]), { type: 'picture\r\nx: y', contentType: 'image/x\r\nset-cookie: a' })
      await until('both requests', () => target.received.length === 2)
      const text = target.received.find(({ body }) => body === 'grüße')
      expect(text?.headers).toMatchObject({
        'content-type': 'text/plain',
        'ce-type': plain.name,
        'ce-source': plain.name,
        'ce-subject': 'greeting',
      })
      expect(text?.headers['ce-id']).toMatch(/^[\w-]{43}$/)
      expect(Object.keys(text?.headers ?? {}).filter((name) => /bad|list|compression/.test(name))).toEqual([])
      const bytes = target.received.find(({ body }) => body !== 'grüße')
      expect(bytes?.headers).toMatchObject({ 'content-type': 'application/octet-stream', 'ce-type': 'picture%0D%0Ax:%20y' })
      expect(bytes?.headers).not.toHaveProperty('set-cookie')
    })

    test('a message whose id and headers no head can hold as they are is sent like any other', async () => {
      const target = await startTarget()
      const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
      const { connection, queue: odd, waiting } = await forwarding(url, { queue: unique('odd'), to: target.url, secret })
      // More than servers read, unless it is left out.
      const many = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`h${n}`, 'ü'.repeat(1_000)]))
      const timestamp = Number.MAX_SAFE_INTEGER
      await connection.publish(odd, 1, { messageId: 'a\r\nx-evil: 1 ü', timestamp, headers: { ...many, small: 'kept' } })
      // Milliseconds, where seconds are expected.
      await connection.publish(odd, 2, { messageId: '', timestamp: Date.now() * 1_000 })
      await until('both', async () => target.received.length === 2 && (await waiting()) === 0)
      const [first, second] = target.received.toSorted((a, b) => a.body.localeCompare(b.body))
      expect(first?.headers).toMatchObject({ 'ce-id': 'a%0D%0Ax-evil:%201%20%C3%BC', 'x-bus-small': 'kept' })
      expect(first?.headers['webhook-id']).toBe(first?.headers['ce-id'])
      expect(first?.headers).not.toHaveProperty('x-evil')
      expect(first?.headers).not.toHaveProperty('ce-time')
      expect(second?.headers['ce-id']).toMatch(/^[\w-]{43}$/)
      expect(second?.headers).not.toHaveProperty('ce-time')
    })

    const again: readonly [string, Answer | undefined, number][] = [
      ['500', { status: 500 }, 2],
      ['503 with Retry-After', { status: 503, headers: { 'retry-after': '0' } }, 2],
      ['429', { status: 429 }, 2],
      ['408', { status: 408 }, 2],
      ['a redirect, which is not followed', { status: 302, headers: { location: 'http://169.254.169.254/' } }, 2],
      ['no answer in time', undefined, 2],
      ['404', { status: 404, body: 'no such order' }, 1],
      ['422', { status: 422 }, 1],
    ]
    test('an answer says what becomes of the message', async () => {
      const outcomes = again.map(async ([what, answer, attempts]) => {
        const target = await startTarget()
        target.answer = () => answer
        const given = { to: target.url, timeoutMs: answer ? 20_000 : 200, retry: { attempts: 2, minMs: 1 } }
        const { connection, queue: tried, waiting } = await forwarding(url, { queue: unique('tried'), ...given })
        await connection.publish(tried, { n: 1 }, { messageId: 'm1' })
        await until(`the dead letter of ${what}`, async () => (await waiting(`${tried.name}.dlq`)) === 1)
        const sent = target.received.map(({ headers }) => [headers['ce-id'], headers['x-bus-attempt']])
        expect(sent, what).toEqual([1, 2].slice(0, attempts).map((attempt) => ['m1', String(attempt)]))
        const letter = await connection.get(`${tried.name}.dlq`)
        const reason = answer === undefined ? 'no complete answer within 200 ms' : `it answers ${answer.status}`
        expect(letter?.properties.headers?.['omnibus-dead-reason'], what).toContain(`${target.url}: ${reason}`)
        await letter?.ack()
      })
      await Promise.all(outcomes)
    })

    test('a target that is away costs no attempt: nothing is fetched before it is there, and what is held waits for it', async () => {
      const target = await startTarget({ listening: false })
      const {
        forwarder,
        connection,
        queue: patient,
        waiting,
        logs,
      } = await forwarding(url, { queue: unique('patient'), to: target.url, retry: { attempts: 1 } })
      for (let n = 0; n < 20; n++) await connection.publish(patient, n)
      await until('it to notice', () => logs.some((line) => line.includes('nothing is fetched')))
      expect(await waiting()).toBe(20)
      expect(forwarder.subscribed).toBe(false)
      await target.listen()
      await until('all of them', () => target.received.length === 20)
      await target.close()
      for (let n = 20; n < 40; n++) await connection.publish(patient, n)
      await until('it to notice', () => logs.some((line) => line.includes('cannot be reached')))
      await target.listen()
      await until('the rest', async () => new Set(target.received.map(({ body }) => body)).size === 40 && (await waiting()) === 0)
      expect(target.received.every(({ headers }) => headers['x-bus-attempt'] === '1')).toBe(true)
      await expect(waiting(`${patient.name}.dlq`)).resolves.toBe(0)
    })

    test('what is held for a target that stays away goes back to its queue, until the target is there again', async () => {
      const target = await startTarget()
      const given = { queue: unique('given-back'), to: target.url, concurrency: 3, retry: { attempts: 1 } }
      const { forwarder, connection, queue: givenBack, waiting, logs } = await forwarding(url, given, 200)
      await until('the subscription', () => forwarder.subscribed)
      await target.close()
      for (let n = 0; n < 5; n++) await connection.publish(givenBack, n)
      await until('it to give back', () => logs.some((line) => line.includes('what was held goes back')))
      // Held by nobody, so that a forwarder whose target is well can have them.
      await until('all of them to wait', async () => (await waiting()) === 5)
      expect(forwarder.subscribed).toBe(false)
      await target.listen()
      await until('all of them', async () => new Set(target.received.map(({ body }) => body)).size === 5 && (await waiting()) === 0)
      expect(target.received.every(({ headers }) => headers['x-bus-attempt'] === '1')).toBe(true)
    })

    test('ordered: one at a time, and none before one that fails', async () => {
      // Elsewhere that is the queue's single active consumer.
      const inOrder = unique('line') + (where === 'SQS' ? '.fifo' : '')
      const target = await startTarget()
      const failures = new Map([['2', 2]])
      target.answer = ({ body }) => {
        const left = failures.get(body) ?? 0
        failures.set(body, left - 1)
        return { status: left > 0 ? 500 : 204 }
      }
      const {
        connection,
        queue: line,
        waiting,
      } = await forwarding(url, { queue: inOrder, to: target.url, ordered: true, retry: { minMs: 1 } })
      for (const n of [1, 2, 3, 4]) await connection.publish(line, n)
      await until('all of them', async () => target.received.length === 6 && (await waiting()) === 0)
      expect(target.received.map(({ body }) => body)).toEqual(['1', '2', '2', '2', '3', '4'])
      expect(target.most).toBe(1)
    })

    test('a stop finishes what is under way and gives back what waits', async () => {
      const target = await startTarget()
      const { promise: open, resolve: release } = Promise.withResolvers<void>()
      target.answer = async () => (await open, { status: 204 })
      const {
        connection,
        queue: stopped,
        waiting,
        stop,
      } = await forwarding(url, { queue: unique('stopped'), to: target.url, concurrency: 3 })
      for (let n = 0; n < 10; n++) await connection.publish(stopped, n)
      await until('three requests', () => target.received.length === 3)
      const stopping = stop()
      release()
      expect(await stopping).toBe(0)
      expect(target.most).toBe(3)
      await until('the rest to wait', async () => (await waiting()) === 7)
    })

    test('a stop gives back what has no answer by its deadline, and cuts the request off', async () => {
      const target = await startTarget()
      target.answer = () => undefined
      const given = { queue: unique('cut'), to: target.url, retry: { attempts: 1 } }
      const { connection, queue: cut, waiting, stop, logs } = await forwarding(url, given)
      await connection.publish(cut, 1)
      await until('the request', () => target.received.length === 1)
      expect(await stop(100)).toBe(1)
      await until('the request to end', () => target.open === 0)
      await until('it to be back', async () => (await waiting()) === 1)
      expect(await waiting(`${cut.name}.dlq`)).toBe(0)
      expect(logs.filter((line) => line.includes('cannot be reached'))).toEqual([])
    })
  })
})

test('a target that says it is not ready gets nothing more until it is, and no message loses an attempt', async () => {
  await using broker = await startBroker()
  const target = await startTarget()
  let status = 204
  target.answer = ({ method }) => ({ status: method === 'GET' ? status : 204 })
  const given = { queue: unique('unready'), to: target.url, ready: `http://127.0.0.1:${target.port}/healthz`, retry: { attempts: 1 } }
  const { forwarder, connection, queue: unready, waiting, logs } = await forwarding(broker.tcpUrl, given, 200)
  const bodies = (): string[] => target.received.flatMap(({ method, body }) => (method === 'POST' ? [body] : []))
  await connection.publish(unready, 1)
  await until('the first', () => bodies().length === 1)
  status = 503
  await until('it to notice', () => logs.some((line) => line.includes('is not ready any more') && line.includes('/healthz answers 503')))
  await until('the pause', () => !forwarder.subscribed)
  for (const n of [2, 3]) await connection.publish(unready, n)
  expect(await waiting()).toBe(2)
  status = 204
  await until('both', async () => bodies().length === 3 && (await waiting()) === 0)
})

test('a name that leads to this machine or a private network is not followed unless that is allowed', async () => {
  await using broker = await startBroker()
  const target = await startTarget({ listening: false })
  const { createServer } = await import('node:net')
  const server = createServer((socket) => socket.destroy()).listen(0, '::')
  await until('it to listen', () => server.listening)
  const to = `http://${hostname()}:${(server.address() as { port: number }).port}/`
  const refused = await forwarding(broker.tcpUrl, { queue: unique('refused'), to })
  await until('the refusal', () => refused.logs.some((line) => line.includes('which is allowed where the URL has the address itself')))
  const allowed = await forwarding(broker.tcpUrl, { queue: unique('allowed'), to, allowPrivate: true })
  await until('the subscription', () => allowed.forwarder.subscribed)
  server.close()
  expect(target.received).toEqual([])
})
