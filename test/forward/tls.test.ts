/** Targets behind TLS: who is believed, and what becomes of messages for those who are not. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { createServer, type Server } from 'node:https'
import { type AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { SecureVersion } from 'node:tls'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import { createSender } from '../../src/worker/forward/sender.ts'
import { unique } from '../bus/brokers.ts'
import { type BrokerProcess, startBroker } from '../support/broker.ts'
import { omnibus } from '../support/omnibus.ts'
import { forwarding, until } from './house.ts'

const certificates = join(import.meta.dirname, '..', 'amqp', 'certificates')
const ca = join(certificates, 'localhost.cert.pem')
const own = { key: readFileSync(join(certificates, 'localhost.key.pem')), cert: readFileSync(ca) }
/** Nobody of today agrees to it. */
const outdated = { ...own, minVersion: 'TLSv1' as SecureVersion, maxVersion: 'TLSv1.1' as SecureVersion }

interface Secure {
  readonly server: Server
  readonly port: number
  readonly bodies: string[]
  readonly attempts: Set<unknown>
  readonly connections: Set<unknown>
}

async function startSecure(options: object = own): Promise<Secure> {
  const [bodies, attempts, connections]: [string[], Set<unknown>, Set<unknown>] = [[], new Set(), new Set()]
  const server = createServer(options, (request, response) => {
    connections.add(request.socket)
    attempts.add(request.headers['x-bus-attempt'])
    void request.toArray().then((parts: Buffer[]) => {
      bodies.push(Buffer.concat(parts).toString())
      response.writeHead(204).end()
    })
  })
  return { server, port: await listening(server), bodies, attempts, connections }
}

async function listening(server: HttpServer | Server): Promise<number> {
  server.listen(0)
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

test('one that proves who it is, by the name in the URL, and over one connection for all', async () => {
  const { server, port, bodies, connections } = await startSecure()
  const names = new Set<unknown>()
  server.on('secureConnection', (socket: { servername: unknown }) => names.add(socket.servername))
  const { forward } = resolveConfig({ forward: { it: { queue: 'q', to: `https://localhost:${port}/`, ca } } }, { root: '/' })
  const sender = createSender(forward['it']!)
  const { signal } = new AbortController()
  expect(await sender.whyNotReady(signal)).toBeUndefined()
  for (const body of ['1', '2', '3']) expect(await sender.send({}, Buffer.from(body), signal)).toEqual({ type: 'accepted' })
  sender.close()
  expect(bodies).toEqual(['1', '2', '3'])
  expect(connections.size).toBe(1)
  expect(names).toEqual(new Set(['localhost']))
})

const strangers: readonly [string, object | undefined, string, string | undefined, RegExp][] = [
  ['a certificate that nobody vouches for', own, 'localhost', undefined, /self-signed certificate/],
  ['that of another name', own, '127.0.0.1', ca, /not in the cert's list/],
  ['an outdated protocol', outdated, 'localhost', ca, /./],
  ['no TLS at all', undefined, 'localhost', ca, /packet length|wrong version/],
]
test.each(strangers)('%s gets no message, and the reason is told', async (_what, options, host, trusted, reason) => {
  const plain = createHttpServer((_request, response) => response.end())
  const port = options ? (await startSecure(options)).port : await listening(plain)
  const given = { queue: 'q', to: `https://${host}:${port}/`, ...(trusted !== undefined && { ca: trusted }) }
  const sender = createSender(resolveConfig({ forward: { it: given } }, { root: '/' }).forward['it']!)
  const { signal } = new AbortController()
  expect(await sender.whyNotReady(signal)).toMatch(reason)
  expect(await sender.send({}, Buffer.from('{}'), signal)).toEqual({ type: 'unreachable', reason: expect.stringMatching(reason) })
  sender.close()
})

describe('a target that is not believed', () => {
  let broker: BrokerProcess
  beforeAll(async () => (broker = await startBroker()))
  afterAll(() => broker[Symbol.asyncDispose]())

  test('costs no attempt: nothing is fetched, and what is held goes back, until it proves who it is', async () => {
    const { server, port, bodies, attempts } = await startSecure(outdated)
    const given = { queue: unique('secure'), to: `https://localhost:${port}/`, ca, retry: { attempts: 1 } }
    const { forwarder, connection, queue, waiting, logs } = await forwarding(broker.tcpUrl, given, 200)
    await connection.publish(queue, 1)
    await until('it to notice', () => logs.some((line) => line.includes('nothing is fetched')))
    expect(await waiting()).toBe(1)
    server.setSecureContext(own)
    await until('the message', () => bodies.length === 1)

    server.setSecureContext(outdated)
    server.closeAllConnections()
    for (const n of [2, 3]) await connection.publish(queue, n)
    await until('it to give back', () => logs.some((line) => line.includes('what was held goes back')))
    await until('both to wait', async () => (await waiting()) === 2)
    expect(forwarder.subscribed).toBe(false)
    server.setSecureContext(own)
    await until('both', async () => new Set(bodies).size === 3 && (await waiting()) === 0)
    expect(attempts).toEqual(new Set(['1']))
  })
})

test('a file without certificates is named by its flag', async () => {
  const refused = async (file: string): Promise<string> => {
    await using command = omnibus(['forward', '--queue', 'q', '--to', 'https://h/', '--ca-file', file])
    expect(await command.exit()).toMatchObject({ code: 78 })
    return command.lines.join('\n')
  }
  expect(await refused('/nowhere.pem')).toContain('--ca-file: expected a file that can be read, got ENOENT')
  expect(await refused(join(certificates, 'localhost.key.pem'))).toMatch(
    /--ca-file: expected a file of certificates in PEM, got .*which has none/,
  )
})
