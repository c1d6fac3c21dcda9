import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { get as getTls } from 'node:https'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { expect, test } from 'vitest'
import { waitFor } from '../support/wait.ts'
import { bindSocket, fixture, startWeb, tlsEnv, type Child } from './child.ts'
import { ask, startLoad } from './load.ts'

const slow = fixture('web/slow.ts')

test('ten rolling replacements of two workers lose no request of clients that never retry', async () => {
  using socket = bindSocket()
  const start = async (version: number): Promise<Child> => {
    const child = startWeb(slow, socket, { env: { APP_VERSION: String(version) } })
    await child.message('ready')
    return child
  }
  let workers = [await start(0), await start(0)]
  const load = startLoad(socket.url, { keepAlive: 12, closing: 4, posting: 2 })
  try {
    for (let round = 1; round <= 10; round++) {
      const fresh: Child[] = []
      for (const old of workers) {
        fresh.push(await start(round))
        expect(await old.stop({ reason: 'reload', deadlineMs: 10_000 })).toEqual({ code: 0, signal: null })
      }
      workers = fresh
    }
    await waitFor(() => load.seen.has('version 10'), { what: 'answers from the last generation' })
  } finally {
    await load.stop()
    for (const worker of workers) await worker[Symbol.asyncDispose]()
  }
  expect(load.failures).toEqual([])
  // Enough to mean something: every generation answered.
  expect(load.seen.size).toBe(11)
  expect(load.answered()).toBeGreaterThan(500)
}, 120_000)

test('requests in flight are finished, counted in the beat, and told to close', async () => {
  using socket = bindSocket()
  await using child = startWeb(slow, socket)
  await child.message('ready')
  let connection: unknown
  const agent = new Agent({ keepAlive: true })
  const answer = ask(`${socket.url}/slow?ms=1500`, { agent, onHead: (headers) => (connection = headers['connection']) })
  await waitFor(() => child.status()?.inFlight === 1, { what: 'one request in flight' })
  const exit = child.stop()
  expect(await answer).toBe('version 1')
  expect(connection).toBe('close')
  expect(await exit).toEqual({ code: 0, signal: null })
})

const REQUEST = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

test('a keep-alive client that speaks on during the drain is answered, and leaves by itself', async () => {
  using socket = bindSocket()
  await using child = startWeb(slow, socket)
  await child.message('ready')
  using client = await openConnection(socket.port)
  client.write(REQUEST)
  await waitFor(() => client.received().includes('version 1'), { what: 'the first answer' })
  child.send({ type: 'stop', reason: 'reload', deadlineMs: 30_000 })
  for (let i = 2; !/connection: close/i.test(client.received()); i++) {
    client.write(REQUEST)
    await waitFor(() => client.received().split('version 1').length > i, { what: `answer ${i}` })
  }
  await client.ended
  expect(await child.exit()).toEqual({ code: 0, signal: null })
})

test('silent connections are closed, one in the middle of a request is not', async () => {
  using socket = bindSocket()
  await using child = startWeb(slow, socket)
  await child.message('ready')
  using unused = await openConnection(socket.port)
  using partial = await openConnection(socket.port)
  partial.write(REQUEST.slice(0, 20))
  // Connections are accepted in order: an answer on the last one says that the worker has them all.
  using used = await openConnection(socket.port)
  used.write(REQUEST)
  await waitFor(() => used.received().includes('version 1'), { what: 'the first answer' })
  child.send({ type: 'stop', reason: 'reload', deadlineMs: 30_000 })
  await used.ended
  await unused.ended
  partial.write(REQUEST.slice(20))
  await partial.ended
  expect(partial.received()).toMatch(/connection: close[^]*version 1/i)
  expect(await child.exit()).toEqual({ code: 0, signal: null })
})

test('server-sent events end at once and cleanly, although the app goes on writing', async () => {
  using socket = bindSocket()
  await using child = startWeb(slow, socket)
  await child.message('ready')
  const [response] = await once(get(`${socket.url}/events`), 'response')
  let received = ''
  response.on('data', (chunk: Buffer) => (received += chunk.toString()))
  // 'end' and not 'error' or 'aborted': the last chunk was sent.
  const ended = once(response, 'end')
  await waitFor(() => received.includes('hello'), { what: 'the first event' })
  // Far longer than the test may take: the stream does not use up the budget.
  child.send({ type: 'stop', reason: 'reload', deadlineMs: 300_000 })
  await ended
  expect(await child.exit()).toEqual({ code: 0, signal: null })
  expect(child.output()).not.toMatch(/"level":50/)
})

test('any other answer under way is finished, also when its head is long gone', async () => {
  using socket = bindSocket()
  await using child = startWeb(slow, socket)
  await child.message('ready')
  const answer = ask(`${socket.url}/download?ms=1500`, { agent: new Agent({ keepAlive: true }) })
  await waitFor(() => child.status()?.inFlight === 1, { what: 'the download to begin' })
  const exit = child.stop({ deadlineMs: 30_000 })
  expect(await answer).toBe('first last')
  expect(await exit).toEqual({ code: 0, signal: null })
})

test('what is not finished by the deadline is cut off and named', async () => {
  using socket = bindSocket()
  await using child = startWeb(slow, socket)
  await child.message('ready')
  const answer = ask(`${socket.url}/hang`)
  answer.catch(() => {})
  await waitFor(() => child.status()?.inFlight === 1, { what: 'the request to arrive' })
  expect(await child.stop({ deadlineMs: 1_000 })).toEqual({ code: 75, signal: null })
  expect(child.output()).toContain('cut off: 1 request in flight')
  await expect(answer).rejects.toThrow()
})

test('a WebSocket is told that the server goes away', async () => {
  using socket = bindSocket()
  await using child = startWeb(slow, socket)
  await child.message('ready')
  using client = await openConnection(socket.port)
  client.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await waitFor(() => client.received().includes('101 Switching'), { what: 'the upgrade' })
  child.send({ type: 'stop', reason: 'reload', deadlineMs: 30_000 })
  await client.ended
  expect(client.bytes().subarray(-4).toString('hex')).toBe('880203e9')
  expect(await child.exit()).toEqual({ code: 0, signal: null })
})

test('HTTP/2 streams under way are finished after the goodbye', async () => {
  using socket = bindSocket()
  await using child = startWeb(fixture('web/http2.mjs'), socket)
  await child.message('ready')
  const session = connectHttp2(socket.url)
  const stream = session.request({ ':path': '/slow' })
  let received = ''
  stream.on('data', (chunk: Buffer) => (received += chunk.toString()))
  await waitFor(() => child.status()?.inFlight === 1, { what: 'the stream to open' })
  child.send({ type: 'stop', reason: 'reload', deadlineMs: 30_000 })
  await once(session, 'goaway')
  await once(stream, 'end')
  expect(received).toBe('http2 answer')
  expect(await child.exit()).toEqual({ code: 0, signal: null })
})

test('pipelined requests, a slow upload and a slow download that are under way are all finished', async () => {
  using socket = bindSocket()
  await using child = startWeb(slow, socket)
  await child.message('ready')
  using pipelining = await openConnection(socket.port)
  using uploading = await openConnection(socket.port)
  using downloading = await openConnection(socket.port)
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
  pipelining.write(get('/slow?ms=600') + get('/slow?ms=1') + get('/'))
  uploading.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
  downloading.write(get('/download?ms=600'))
  await waitFor(() => (child.status()?.requests ?? 0) >= 5, { what: 'all of them to arrive' })
  // Far longer than the test may take: none of them uses up the budget.
  child.send({ type: 'stop', reason: 'reload', deadlineMs: 300_000 })
  await pipelining.ended
  await downloading.ended
  // Long quiet, and not cut.
  uploading.write('5\r\nworld\r\n0\r\n\r\n')
  await uploading.ended
  expect(pipelining.received().match(/version 1/g)).toHaveLength(3)
  expect(downloading.received()).toMatch(/first[^]*last[^]*\r\n0\r\n\r\n$/)
  expect(uploading.received()).toMatch(/connection: close[^]*version 1/i)
  expect(await child.exit()).toEqual({ code: 0, signal: null })
})

test('an EventSource comes back to the new worker, by itself', async () => {
  using socket = bindSocket()
  await using old = startWeb(slow, socket, { env: { APP_VERSION: 'old' } })
  await old.message('ready')
  const events = (): Promise<string> => ask(`${socket.url}/events`)
  // As EventSource does (HTML §9.2.3): an answer that ends is asked for again.
  const first = events()
  await waitFor(() => old.status()?.inFlight === 1, { what: 'the stream to open' })
  await using fresh = startWeb(slow, socket, { env: { APP_VERSION: 'new' } })
  await fresh.message('ready')
  old.send({ type: 'stop', reason: 'reload', deadlineMs: 300_000 })
  expect(await first).toContain('data: hello')
  const again = events()
  await waitFor(() => fresh.status()?.inFlight === 1, { what: 'the client to come back' })
  expect(await old.exit()).toEqual({ code: 0, signal: null })
  expect(await fresh.stop({ deadlineMs: 30_000 })).toEqual({ code: 0, signal: null })
  expect(await again).toContain('data: hello')
})

test('an app that speaks TLS is drained alike', async () => {
  using socket = bindSocket()
  await using child = startWeb(fixture('web/tls.mjs'), socket, { env: tlsEnv })
  await child.message('ready')
  const unused = connectTls({ port: socket.port, host: '127.0.0.1', rejectUnauthorized: false })
  unused.on('error', () => {})
  await once(unused, 'secureConnect')
  const closed = once(unused, 'close')
  let connection: unknown
  const answer = new Promise((resolve, reject) => {
    const outgoing = getTls({ port: socket.port, host: '127.0.0.1', rejectUnauthorized: false, agent: false }, (response) => {
      connection = response.headers.connection
      response.on('data', (chunk: Buffer) => resolve(chunk.toString()))
    })
    outgoing.on('error', reject)
  })
  await waitFor(() => child.status()?.inFlight === 1, { what: 'the request to arrive' })
  // Far longer than the test may take: the silent connection does not use up the budget.
  child.send({ type: 'stop', reason: 'reload', deadlineMs: 300_000 })
  expect(await answer).toBe('tls answer')
  expect(connection).toBe('close')
  await closed
  expect(await child.exit()).toEqual({ code: 0, signal: null })
})

test('an app that answers "Expect: 100-continue" itself keeps its uploads', async () => {
  using socket = bindSocket()
  await using child = startWeb(fixture('web/expects.mjs'), socket)
  await child.message('ready')
  using client = await openConnection(socket.port)
  client.write('POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
  await waitFor(() => client.received().includes('100 Continue'), { what: 'the go-ahead' })
  await waitFor(() => child.status()?.inFlight === 1, { what: 'the upload to count' })
  using idle = await openConnection(socket.port)
  idle.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await waitFor(() => idle.received().includes('got'), { what: 'an answer on the other connection' })
  child.send({ type: 'stop', reason: 'reload', deadlineMs: 30_000 })
  // The silent one is closed; the upload goes on.
  await idle.ended
  client.write('hello')
  await client.ended
  expect(client.received()).toMatch(/connection: close[^]*got hello/i)
  expect(await child.exit()).toEqual({ code: 0, signal: null })
})

test('registered resources are in the beat, and closed after the last request', async () => {
  using socket = bindSocket()
  await using child = startWeb(fixture('web/resource.ts'), socket)
  await child.message('ready')
  await waitFor(() => child.status()?.connected === false, { what: 'a beat that tells the resource is not connected' })
  const answer = ask(socket.url)
  await waitFor(() => child.status()?.connected === true, { what: 'a beat that tells it is connected' })
  expect(await child.stop()).toEqual({ code: 0, signal: null })
  expect(await answer).toBe('ok')
  expect(child.output()).toMatch(/request done\n[^]*closing with 0 requests open, deadline ahead/)
})

interface RawConnection extends Disposable {
  write(text: string): void
  received(): string
  bytes(): Buffer
  /** The other side has closed it. */
  readonly ended: Promise<unknown>
}

async function openConnection(port: number): Promise<RawConnection> {
  const socket = connect(port, '127.0.0.1')
  let received = Buffer.alloc(0)
  socket.on('data', (chunk) => (received = Buffer.concat([received, chunk])))
  socket.on('error', () => {})
  const ended = once(socket, 'close')
  await once(socket, 'connect')
  return {
    write: (text) => void socket.write(text),
    received: () => received.toString('latin1'),
    bytes: () => received,
    ended,
    [Symbol.dispose]: () => socket.destroy(),
  }
}
