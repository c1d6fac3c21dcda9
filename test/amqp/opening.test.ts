import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ConfigError, ConnectionError } from '../../src/core/errors.ts'
import { builtinTransport } from '../../src/transports/amqp/builtin.ts'
import { freePort } from '../support/ports.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { message, openSession, type OpenWishes, publish, unique } from './sessions.ts'

const PASSWORD = 'canary-7f3a'

async function failure(url: string | URL, wishes: OpenWishes = {}): Promise<ConnectionError> {
  const deaths: ConnectionError[] = []
  const error: unknown = await openSession(url, { ...wishes, deaths }).then(
    () => new Error('it was opened'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(ConnectionError)
  // What never lived cannot die.
  expect(deaths).toEqual([])
  // With everything an error printer would show, causes included.
  expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(PASSWORD)
  return error as ConnectionError
}

const listening = async (server: Server): Promise<number> => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

describe('opening a session where no broker is', () => {
  it('says who refused, and is worth trying again', async () => {
    const port = await freePort()
    expect(await failure(`amqp://u:${PASSWORD}@127.0.0.1:${port}`)).toMatchObject({
      fatal: false,
      message: expect.stringMatching(`Cannot connect to amqp://127.0.0.1:${port}: .*ECONNREFUSED`),
    })
  })

  it('gives up at the timeout, and when told to', async () => {
    const server = createServer()
    const port = await listening(server)
    const url = `amqp://u:${PASSWORD}@127.0.0.1:${port}`
    expect(await failure(url, { connectTimeoutMs: 50 })).toMatchObject({ message: expect.stringMatching(/did not let us in within 50 ms/) })
    expect(await failure(url, { signal: AbortSignal.abort() })).toMatchObject({ message: expect.stringMatching(/given up/) })
    const giveUp = new AbortController()
    server.once('connection', () => giveUp.abort())
    expect(await failure(url, { signal: giveUp.signal })).toMatchObject({ message: expect.stringMatching(/given up/) })
    server.close()
  })

  it.each([
    ['HTTP/1.1 400 Bad Request\r\n\r\n', /does not speak AMQP 0-9-1/],
    ['AMQP\0\u0001\0\0', /another version of AMQP/],
    ['', /closed the connection without a word/],
  ])('explains the answer %j', async (answer, text) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => socket.end(answer))
    })
    const port = await listening(server)
    expect(await failure(`amqp://u:${PASSWORD}@127.0.0.1:${port}`)).toMatchObject({ message: expect.stringMatching(text) })
    server.close()
  })

  it('reports a data folder without a broker', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'omnibus-'))
    const transport = builtinTransport
    expect(await failure(`omnibus://${folder}?spawn=false`, { transport })).toMatchObject({
      fatal: false,
      message: expect.stringMatching(`No built-in broker runs in ${folder}`),
    })
    writeFileSync(join(folder, 'broker.json'), '{"socket":""}')
    expect(await failure(`omnibus://${folder}?spawn=false`, { transport })).toMatchObject({
      message: expect.stringMatching(/names no socket/),
    })
    writeFileSync(join(folder, 'broker.json'), JSON.stringify({ socket: join(folder, 'gone.sock'), pid: 1 }))
    expect(await failure(`omnibus://${folder}?spawn=false`, { transport })).toMatchObject({
      message: expect.stringMatching(/gone\.sock: .*ENOENT/),
    })
    for (const url of ['omnibus:///', 'omnibus://host/x', `omnibus://${folder}?spawn=maybe`, `omnibus://${folder}?spwan=true`]) {
      await expect(openSession(url, { transport })).rejects.toBeInstanceOf(ConfigError)
    }
    rmSync(folder, { recursive: true })
  })
})

describe.runIf(hasRabbit())('opening a session on RabbitMQ', () => {
  let rabbit: URL
  beforeAll(async () => {
    rabbit = new URL(await sharedRabbit())
  })

  const at = (change: (url: URL) => void): URL => {
    const url = new URL(rabbit)
    change(url)
    return url
  }

  it('fails for good when the login or the vhost is refused', async () => {
    expect(await failure(at((url) => (url.password = PASSWORD)))).toMatchObject({
      fatal: true,
      message: expect.stringMatching(/refused the login of user "guest": ACCESS_REFUSED.*\(403\)/),
    })
    expect(await failure(at((url) => (url.pathname = '/no%20such')))).toMatchObject({
      fatal: true,
      message: expect.stringMatching(/refused the vhost "no such": NOT_ALLOWED.*\(530\)/),
    })
  })

  it('dies when channels run out only for the one who asked', async () => {
    const { session, deaths } = await openSession(at((url) => (url.search = '?channel_max=2&frame_max=4096')))
    const name = unique('q')
    await session.declareQueue({
      kind: 'queue',
      name,
      type: 'classic',
      durable: false,
      exclusive: true,
      autoDelete: false,
      bindings: [],
      arguments: {},
    })
    expect(await publish(session, [message(name, 'x'.repeat(10_000))])).toEqual([{ status: 'confirmed', routed: true }])
    await expect(session.get(name)).rejects.toThrow(/all 2 channels .* are in use/)
    expect((await session.inspect(name)).messages).toBe(1)
    expect(deaths).toEqual([])
    await session.close()
  })

  it('works over the unix socket a data folder names', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'omnibus-'))
    const socket = join(folder, 'b.sock')
    const server = createServer((client) => {
      const broker = connect(Number(rabbit.port), rabbit.hostname)
      client.pipe(broker).pipe(client)
      for (const end of [client, broker]) end.on('error', () => undefined)
    }).listen(socket)
    await once(server, 'listening')
    writeFileSync(join(folder, 'broker.json'), JSON.stringify({ socket, pid: process.pid }))
    const { session, deaths } = await openSession(`omnibus://${folder}`, { transport: builtinTransport })
    await expect(session.inspect('no such queue')).rejects.toThrow(/NOT_FOUND/)
    await session.close()
    expect(deaths).toEqual([])
    server.close()
    rmSync(folder, { recursive: true })
  })

  describe('over TLS', () => {
    const certificate = join(import.meta.dirname, 'certificates', 'localhost.cert.pem')
    let server: Server
    let port: number
    beforeAll(async () => {
      const key = readFileSync(join(import.meta.dirname, 'certificates', 'localhost.key.pem'))
      const cert = readFileSync(certificate)
      server = createTlsServer({ key, cert }, (client) => {
        const broker = connect(Number(rabbit.port), rabbit.hostname)
        client.pipe(broker).pipe(client)
        for (const end of [client, broker]) end.on('error', () => undefined)
      })
      port = await listening(server)
    })
    afterAll(() => void server?.close())

    it('takes a certificate it trusts, and carries bodies of any size', async () => {
      const { session } = await openSession(`amqps://guest:guest@localhost:${port}?cacertfile=${certificate}`)
      const name = unique('q')
      const results = await publish(session, [
        message(name, Buffer.alloc(1_000_000, 'a'), { mandatory: false }),
        ...Array.from({ length: 500 }, (_, i) => message(name, `m${i}`)),
      ])
      expect(results.map((result) => result.status)).toEqual(results.map(() => 'confirmed'))
      await session.close()
    })

    it('refuses a certificate it does not trust, another host name, and a file that is not there', async () => {
      expect(await failure(`amqps://u:${PASSWORD}@localhost:${port}`)).toMatchObject({ message: expect.stringMatching(/self-signed/) })
      const trusted = `cacertfile=${certificate}`
      expect(await failure(`amqps://u:${PASSWORD}@127.0.0.1:${port}?${trusted}`)).toMatchObject({
        message: expect.stringMatching(/IP: 127.0.0.1/),
      })
      expect(await failure(`amqps://u:${PASSWORD}@localhost:${port}?cacertfile=/nowhere.pem`)).toMatchObject({
        message: expect.stringMatching(/TLS file \/nowhere.pem/),
      })
    })
  })

  it('is cut off at once by destroy, which is no death', async () => {
    await using proxy = await startTcpProxy(Number(rabbit.port))
    const { session, deaths } = await openSession(at((url) => (url.port = String(proxy.port))))
    const pending = session.inspect('q')
    session.destroy()
    await expect(pending).rejects.toThrow(ConnectionError)
    await session.close()
    expect(deaths).toEqual([])
  })
})
