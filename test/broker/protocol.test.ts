import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ByteWriter, writeTable } from '../../src/amqp/index.ts'
import { type BrokerHandle, startBroker } from '../../src/broker/index.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { logIn, opened, rawClient, type RawClient } from './raw-client.ts'

let broker: BrokerHandle
let at: { path: string }

beforeAll(async () => {
  broker = await startBroker({ data: tempDir('protocol') })
  at = { path: broker.address!.socket }
})
afterAll(() => broker.stop())

describe('the handshake', () => {
  test('introduces itself, and takes PLAIN and AMQPLAIN', async () => {
    using plain = rawClient(at)
    const start = await logIn(plain)
    expect(start.serverProperties).toMatchObject({
      product: 'Omnibus',
      capabilities: {
        publisher_confirms: true,
        exchange_exchange_bindings: true,
        'basic.nack': true,
        consumer_cancel_notify: true,
        'connection.blocked': true,
        per_consumer_qos: true,
        authentication_failure_close: true,
      },
    })
    await plain.next('connection.open-ok')

    using table = rawClient(at)
    const writer = new ByteWriter()
    writeTable(writer, { LOGIN: 'guest', PASSWORD: 'guest' })
    await logIn(table, { mechanism: 'AMQPLAIN', response: writer.take().subarray(4) })
    await table.next('connection.open-ok')
  })

  test('a wrong password: 403 for clients that can take it, else the end', async () => {
    using polite = rawClient(at)
    void logIn(polite, { response: Buffer.from('\0guest\0wrong'), capabilities: { authentication_failure_close: true } }).catch(() => {})
    expect(await polite.next('connection.close')).toMatchObject({ replyCode: 403, classId: 0, methodId: 0 })
    polite.send(0, 'connection.close-ok', {})
    await waitFor(() => polite.ended, { what: 'the end' })
    using plain = rawClient(at)
    void logIn(plain, { response: Buffer.from('\0guest\0wrong') }).catch(() => {})
    await waitFor(() => plain.ended, { what: 'the end' })
  })

  test('an unknown vhost and a frame size that is too small', async () => {
    using vhost = rawClient(at)
    await logIn(vhost, { vhost: 'elsewhere' })
    expect(await vhost.next('connection.close')).toMatchObject({
      replyCode: 530,
      replyText: 'NOT_ALLOWED - vhost elsewhere not found',
      classId: 10,
      methodId: 40,
    })
    using small = rawClient(at)
    await logIn(small, { frameMax: 100 })
    expect(await small.next('connection.close')).toMatchObject({ replyCode: 530, classId: 10, methodId: 31 })
  })

  test('who speaks something else gets the header of what we speak', async () => {
    using client = rawClient(at)
    const answer: Buffer[] = []
    client.socket.removeAllListeners('data').on('data', (chunk) => answer.push(chunk))
    client.socket.write('GET / HTTP/1.1\r\n\r\n')
    await waitFor(() => client.ended, { what: 'the end' })
    expect(Buffer.concat(answer).toString('latin1')).toBe('AMQP\0\0\u0009\u0001')
  })
})

describe('errors', () => {
  /** What a client did wrong, and how it is told: on the channel, or with the end of the connection. */
  const wrong: Record<string, { say: (client: RawClient) => void; channel?: object; connection?: object }> = {
    'an unknown queue': {
      say: (client) => client.send(1, 'queue.declare', { queue: 'nope', passive: true }),
      channel: { replyCode: 404, replyText: "NOT_FOUND - no queue 'nope' in vhost '/'", classId: 50, methodId: 10 },
    },
    'an unknown exchange': {
      say: (client) => client.writer.content(1, 'basic.publish', { exchange: 'nope', routingKey: '' }, {}, Buffer.from('x')),
      channel: { replyCode: 404, classId: 60, methodId: 40 },
    },
    'an unknown delivery tag': {
      say: (client) => client.send(1, 'basic.ack', { deliveryTag: 7 }),
      channel: { replyCode: 406, replyText: 'PRECONDITION_FAILED - unknown delivery tag 7', classId: 60, methodId: 80 },
    },
    'no queue declared before an empty name': {
      say: (client) => client.send(1, 'basic.get', { queue: '' }),
      channel: { replyCode: 404, classId: 60, methodId: 70 },
    },
    'a user id of somebody else': {
      say: (client) => client.writer.content(1, 'basic.publish', { exchange: '', routingKey: '' }, { userId: 'root' }, Buffer.alloc(0)),
      channel: { replyCode: 406, classId: 60, methodId: 40 },
    },
    'a body above the limit': {
      say: (client) => {
        client.send(1, 'basic.publish', { exchange: '', routingKey: '' })
        const header = Buffer.alloc(22)
        header.writeUInt8(2, 0)
        header.writeUInt16BE(1, 1)
        header.writeUInt32BE(14, 3)
        header.writeUInt16BE(60, 7)
        header.writeBigUInt64BE(1n << 40n, 11)
        header[21] = 0xce
        client.writer.raw(header)
      },
      channel: { replyCode: 406, classId: 60, methodId: 40 },
    },
    'a commit without a transaction': {
      say: (client) => client.send(1, 'tx.commit', {}),
      channel: { replyCode: 406, replyText: 'PRECONDITION_FAILED - channel is not transactional', classId: 90, methodId: 20 },
    },
    'a binding to an unknown exchange': {
      say: (client) => client.send(1, 'exchange.bind', { destination: 'nope', source: 'amq.topic', routingKey: '' }),
      channel: { replyCode: 404, replyText: "NOT_FOUND - no exchange 'nope' in vhost '/'", classId: 40, methodId: 30 },
    },
    'immediate publishes': {
      say: (client) => client.writer.content(1, 'basic.publish', { exchange: '', routingKey: '', immediate: true }, {}, Buffer.alloc(0)),
      connection: { replyCode: 540, classId: 60, methodId: 40 },
    },
    'an unknown exchange type': {
      say: (client) => client.send(1, 'exchange.declare', { exchange: 'e', type: 'x-random' }),
      connection: { replyCode: 503, replyText: "COMMAND_INVALID - unknown exchange type 'x-random'", classId: 40, methodId: 10 },
    },
    'a channel that was not opened': {
      say: (client) => client.send(2, 'basic.qos', { prefetchSize: 0, prefetchCount: 1 }),
      connection: { replyCode: 504 },
    },
    'a channel above the limit': {
      say: (client) => client.send(11, 'channel.open', {}),
      connection: { replyCode: 504 },
    },
    'a second open': {
      say: (client) => client.send(1, 'channel.open', {}),
      connection: { replyCode: 504, classId: 20, methodId: 10 },
    },
    'a method in the middle of a content': {
      say: (client) => {
        client.send(1, 'basic.publish', { exchange: '', routingKey: '' })
        client.send(1, 'basic.qos', { prefetchSize: 0, prefetchCount: 1 })
      },
      connection: { replyCode: 505, classId: 60, methodId: 40 },
    },
    'a broken frame': {
      say: (client) => client.writer.raw(Buffer.from([1, 0, 1, 0, 0, 0, 1, 0, 0])),
      connection: { replyCode: 501 },
    },
  }

  test.each(Object.entries(wrong))('%s', async (_, { say, channel, connection }) => {
    using client = await opened(at)
    say(client)
    if (channel) {
      expect(await client.next('channel.close', 1)).toMatchObject(channel)
      // What is still under way is ignored, and the number can be used again.
      client.send(1, 'basic.qos', { prefetchSize: 0, prefetchCount: 1 })
      client.send(1, 'channel.close-ok', {})
      await client.call(1, 'channel.open', {}, 'channel.open-ok')
    } else {
      expect(await client.next('connection.close', 0)).toMatchObject(connection!)
      client.send(0, 'connection.close-ok', {})
      client.socket.end()
      await waitFor(() => client.ended, { what: 'the end' })
    }
  })

  test('publishes before the wrong one keep their confirms', async () => {
    using client = await opened(at)
    await client.call(1, 'queue.declare', { queue: 'before', exclusive: true }, 'queue.declare-ok')
    await client.call(1, 'confirm.select', {}, 'confirm.select-ok')
    for (const exchange of ['', '', 'nope'])
      client.writer.content(1, 'basic.publish', { exchange, routingKey: 'before' }, {}, Buffer.from('x'))
    expect(await client.next('basic.ack')).toEqual({ deliveryTag: 2, multiple: true })
    expect(await client.next('channel.close')).toMatchObject({ replyCode: 404 })
  })
})

describe('a connection', () => {
  test('returns come before their confirm, and cancels are told', async () => {
    using client = await opened(at)
    await client.call(1, 'confirm.select', {}, 'confirm.select-ok')
    client.writer.content(1, 'basic.publish', { exchange: '', routingKey: 'nobody', mandatory: true }, {}, Buffer.from('x'))
    await waitFor(() => client.got.some((method) => method.name === 'basic.ack'), { what: 'the confirm' })
    expect(client.got.map((method) => method.name)).toEqual(['basic.return', 'basic.ack'])
    expect(client.got[0]?.args).toMatchObject({ replyCode: 312, replyText: 'NO_ROUTE', routingKey: 'nobody' })

    await client.call(1, 'queue.declare', { queue: 'brief' }, 'queue.declare-ok')
    await client.call(1, 'basic.consume', { queue: 'brief', consumerTag: 'me' }, 'basic.consume-ok')
    client.send(1, 'queue.delete', { queue: 'brief' })
    expect(await client.next('basic.cancel')).toMatchObject({ consumerTag: 'me' })
  })

  test('an empty queue name is the one declared last', async () => {
    using client = await opened(at)
    const { queue } = await client.call(1, 'queue.declare', { queue: '', exclusive: true }, 'queue.declare-ok')
    expect(queue).toMatch(/^amq\.gen-/)
    await client.call(1, 'queue.bind', { queue: '', exchange: 'amq.direct', routingKey: '' }, 'queue.bind-ok')
    client.writer.content(1, 'basic.publish', { exchange: 'amq.direct', routingKey: queue }, {}, Buffer.from('x'))
    expect(await client.call(1, 'queue.declare', { queue: '', passive: true }, 'queue.declare-ok')).toMatchObject({
      queue,
      messageCount: 1,
    })
  })

  test('a nack stands between the acks of what came before it and after it', async () => {
    using client = await opened(at)
    const args = { 'x-max-length': 1, 'x-overflow': 'reject-publish' }
    await client.call(1, 'queue.declare', { queue: 'tight', exclusive: true, arguments: args }, 'queue.declare-ok')
    await client.call(1, 'confirm.select', {}, 'confirm.select-ok')
    // Within one turn: taken, refused, taken by nobody.
    for (const routingKey of ['tight', 'tight', 'nobody'])
      client.writer.content(1, 'basic.publish', { exchange: '', routingKey }, {}, Buffer.from('x'))
    const confirms = () => client.got.filter(({ name }) => name === 'basic.ack' || name === 'basic.nack')
    await waitFor(() => confirms().length === 3, { what: 'all to be answered' })
    expect(confirms()).toMatchObject([
      { name: 'basic.ack', args: { deliveryTag: 1, multiple: false } },
      { name: 'basic.nack', args: { deliveryTag: 2, multiple: false } },
      { name: 'basic.ack', args: { deliveryTag: 3, multiple: false } },
    ])
  })

  test('heartbeats go both ways, and silence ends it', async () => {
    using lively = await opened(at, { heartbeat: 1 })
    using mute = await opened(at, { heartbeat: 1 })
    const beat = setInterval(() => lively.writer.heartbeat(), 300)
    try {
      await waitFor(() => mute.ended, { what: 'the silent client to be dropped' })
      expect(lively.ended).toBe(false)
      await waitFor(() => lively.heartbeats > 2, { what: 'heartbeats of the broker' })
    } finally {
      clearInterval(beat)
    }
  })

  test('a slow reader is not sent more than it reads, and gets the rest when it reads on', async () => {
    using client = await opened(at)
    const body = Buffer.alloc(100_000)
    const count = 300
    await client.call(1, 'queue.declare', { queue: 'slow', exclusive: true }, 'queue.declare-ok')
    await client.call(1, 'confirm.select', {}, 'confirm.select-ok')
    for (let n = 0; n < count; n++) client.writer.content(1, 'basic.publish', { exchange: '', routingKey: 'slow' }, {}, body)
    while ((await client.next('basic.ack')).deliveryTag < count);
    const delivered = (): number => broker.stats()!.queues.find(({ name }) => name === 'slow')!.delivered
    client.socket.pause()
    client.send(1, 'basic.consume', { queue: 'slow', consumerTag: 'c', noAck: true })
    await waitFor(() => delivered() > 0, { what: 'deliveries' })
    // Two looks without a change between: it waits.
    let before = -1
    await waitFor(
      () => {
        const now = delivered()
        const same = now === before
        before = now
        return same
      },
      { what: 'the broker to wait', everyMs: 100 },
    )
    expect(delivered()).toBeLessThan(count / 2)
    client.socket.resume()
    await waitFor(() => client.got.filter((method) => method.name === 'basic.deliver').length === count, { what: 'all deliveries' })
  })

  test('what a client sent before its goodbye is kept and confirmed', async () => {
    using client = await opened(at)
    await client.call(1, 'queue.declare', { queue: 'last words' }, 'queue.declare-ok')
    await client.call(1, 'confirm.select', {}, 'confirm.select-ok')
    client.writer.content(1, 'basic.publish', { exchange: '', routingKey: 'last words' }, {}, Buffer.from('x'))
    client.send(0, 'connection.close', { replyCode: 200, replyText: '', classId: 0, methodId: 0 })
    await client.next('connection.close-ok')
    expect(broker.stats()!.queues.find(({ name }) => name === 'last words')).toMatchObject({ ready: 1 })
  })
})
