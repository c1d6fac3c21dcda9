import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { FRAME, FrameReader, FrameWriter, type MethodArgs, decodeMethod, openAmqpConnection } from '../../src/amqp/index.ts'
import { Connection } from '../../src/core/connection.ts'
import type { ConnectionEvent } from '../../src/core/connection-options.ts'
import { ConnectionError } from '../../src/core/errors.ts'
import { amqpTransport } from '../../src/transports/amqp/index.ts'
import { startBroker } from '../support/broker.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { waitFor } from '../support/wait.ts'
import { openSession } from './sessions.ts'

/** A real broker behind a proxy that changes which mechanisms it offers; what the client answers passes unchanged. */
async function offering(mechanisms: string, broker: URL): Promise<{ url: string; chosen: MethodArgs<'connection.start-ok'>[] }> {
  const chosen: MethodArgs<'connection.start-ok'>[] = []
  const server = createServer((client) => {
    const behind = connect(Number(broker.port), broker.hostname)
    for (const end of [client, behind]) end.on('error', () => undefined)
    const toClient = new FrameWriter(client)
    toClient.frameMax = 131_072
    const fromBroker = new FrameReader({
      frameMax: 131_072,
      onFrame(type, channel, buffer, start, end) {
        const method = type === FRAME.method ? decodeMethod(buffer, start, end) : undefined
        if (method?.name !== 'connection.start') return
        toClient.method(channel, 'connection.start', { ...method.args, mechanisms: Buffer.from(mechanisms) })
        toClient.flush()
        // From here on bytes pass as they are.
        behind.removeAllListeners('data')
        behind.pipe(client)
      },
    })
    behind.on('data', (chunk: Buffer) => fromBroker.push(chunk))
    const fromClient = new FrameReader({
      frameMax: 131_072,
      expectHeader: true,
      onFrame(type, _channel, buffer, start, end) {
        const method = type === FRAME.method ? decodeMethod(buffer, start, end) : undefined
        if (method?.name === 'connection.start-ok') chosen.push(method.args)
      },
    })
    client.on('data', (chunk: Buffer) => {
      fromClient.push(chunk)
      behind.write(chunk)
    })
    client.on('close', () => behind.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { url: `amqp://guest:guest@127.0.0.1:${(server.address() as AddressInfo).port}`, chosen }
}

describe.each([
  {
    broker: 'RabbitMQ',
    exists: hasRabbit(),
    start: async () => ({ url: await sharedRabbit(), [Symbol.asyncDispose]: async () => undefined }),
  },
  {
    broker: 'the built-in broker',
    exists: true,
    start: async () => {
      const running = await startBroker()
      return { url: running.tcpUrl, [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() }
    },
  },
])('logging in on $broker', ({ exists, start }) => {
  it.runIf(exists)('uses PLAIN, AMQPLAIN where that is all there is or what is asked for, and takes a new secret', async () => {
    await using broker = await start()
    for (const [offered, query, mechanism] of [
      ['AMQPLAIN PLAIN', '', 'PLAIN'],
      ['AMQPLAIN', '', 'AMQPLAIN'],
      ['PLAIN AMQPLAIN', '?auth_mechanism=amqplain', 'AMQPLAIN'],
    ]) {
      const { url, chosen } = await offering(offered!, new URL(broker.url))
      const { session } = await openSession(`${url}${query}`)
      expect(chosen).toMatchObject([{ mechanism }])
      await session.updateSecret!('guest')
      await session.close()
    }
  })

  it.runIf(exists)('leaves it to the certificate who we are, where that is asked for', async () => {
    await using broker = await start()
    const { url, chosen } = await offering('PLAIN EXTERNAL', new URL(broker.url))
    const port = Number(new URL(url).port)
    const opening = openAmqpConnection({
      target: { kind: 'tcp', host: '127.0.0.1', port },
      credentials: { username: 'guest', password: 'guest' },
      mechanism: 'EXTERNAL',
      vhost: '/',
      clientProperties: {},
      connectTimeoutMs: 3_000,
      heartbeatMs: 0,
      signal: new AbortController().signal,
      handlers: { died: () => undefined, blocked: () => undefined, unblocked: () => undefined },
    })
    // Neither of these brokers takes it without a certificate.
    await expect(opening).rejects.toThrow(ConnectionError)
    expect(chosen.map(({ mechanism, response }) => [mechanism, response.length])).toEqual([['EXTERNAL', 0]])
  })

  it.runIf(exists)('asks the credentials function again when the link breaks', async () => {
    await using broker = await start()
    const url = new URL(broker.url)
    const events: ConnectionEvent[] = []
    let asked = 0
    // The first answer is wrong, as that of a vault that has just rotated a password.
    const credentials = async () => ({ username: 'guest', password: ++asked === 1 ? 'old' : 'guest' })
    url.username = url.password = ''
    const connection = new Connection([url], async () => amqpTransport, { credentials, onEvent: (event) => events.push(event) })
    await connection.ready({ deadlineMs: 20_000 })
    await waitFor(() => connection.connected, { what: 'the connection' })
    expect(asked).toBe(2)
    expect(events).toMatchObject([{ type: 'down', error: { message: expect.stringContaining('refused the login') } }, { type: 'up' }])
    await connection.close()
  })
})
