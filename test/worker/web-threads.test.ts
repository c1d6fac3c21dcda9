/** Web workers as threads of one host process. What every worker does is tested of processes. */
import { Agent } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { waitFor, within } from '../support/wait.ts'
import { bindSocket, fixture, startWeb, type Child, type ListenSocket, type WebConfig } from './child.ts'
import { ask, startLoad } from './load.ts'

const threaded = fixture('web/threaded.ts')

async function open(socket: ListenSocket, workers: number, entry = threaded, settings: Partial<WebConfig> = {}): Promise<Child> {
  const child = startWeb(entry, socket, { web: { kind: 'thread', workers, ...settings } })
  await child.message('ready')
  return child
}

test('host after host replaced under load loses no request of clients that never retry', async () => {
  using socket = bindSocket()
  let host = await open(socket, 2)
  const load = startLoad(socket.url, { keepAlive: 12, closing: 4, posting: 2 })
  try {
    for (let round = 1; round <= 3; round++) {
      const answered = load.answered()
      const next = await open(socket, 2)
      expect(await host.stop({ reason: 'reload', deadlineMs: 10_000 })).toEqual({ code: 0, signal: null })
      host = next
      await waitFor(() => load.answered() > answered + 50, { what: 'answers from the new host' })
    }
  } finally {
    await load.stop()
    await host[Symbol.asyncDispose]()
  }
  expect(load.failures).toEqual([])
})

test('connections are spread evenly, and all threads are told of', async () => {
  using socket = bindSocket()
  await using host = await open(socket, 4)
  await waitFor(() => host.status()?.threads === 4, { what: 'four threads in the beat' })
  const agents = Array.from({ length: 16 }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
  const answers: string[] = []
  // One after the other: a thread that is slow to warm up would be passed over.
  for (const agent of agents) answers.push(await ask(socket.url, { agent }))
  const share = (thread: string): number => answers.filter((answer) => answer === thread).length
  expect([...new Set(answers)].map(share)).toEqual([4, 4, 4, 4])
  await waitFor(() => host.status()?.requests === 16, { what: 'all requests in the beat' })
  for (const agent of agents) agent.destroy()
  expect(await host.stop()).toEqual({ code: 0, signal: null })
})

test("the app's own limit of connections holds in a thread, and one that is over makes room", async () => {
  using socket = bindSocket()
  await using _ = await open(socket, 1, fixture('web/one-at-a-time.mjs'))
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  expect(await ask(socket.url, { agent })).toBe('served')
  await expect(ask(socket.url)).rejects.toThrow(/socket hang up|ECONNRESET/)
  agent.destroy()
  expect(await waitFor(() => ask(socket.url), { what: 'an answer to the next' })).toBe('served')
})

test.each([
  ['/block', /web\.1\.\d is terminated: its event loop was silent for 1000 ms/],
  ['/exit', /web\.1\.\d ended: exit code 3 \(1 of at most 5/],
])('a thread lost by %s is replaced, and the other serves on', async (path, told) => {
  using socket = bindSocket()
  await using host = await open(socket, 2, threaded, { heartbeatTimeoutMs: 1_000 })
  const agents = Array.from({ length: 2 }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
  const before: string[] = []
  for (const agent of agents) before.push(await ask(socket.url, { agent }))
  await expect(ask(`${socket.url}${path}`)).rejects.toThrow()
  await waitFor(() => told.test(host.output()), { what: 'the host to say so' })
  const fresh = async (): Promise<boolean> => !before.includes(await ask(socket.url))
  await waitFor(fresh, { what: 'an answer from the new thread' })
  const after: string[] = []
  for (const agent of agents) after.push(await ask(socket.url, { agent }))
  // One connection lives on where it was.
  expect(after.filter((thread, i) => thread === before[i]).length).toBe(1)
  for (const agent of agents) agent.destroy()
  expect(await host.stop()).toEqual({ code: 0, signal: null })
})

test('a thread that hangs is given no more connections', async () => {
  using socket = bindSocket()
  await using _host = await open(socket, 2, threaded, { heartbeatTimeoutMs: 300_000 })
  ask(`${socket.url}/block`).catch(() => {})
  const answered = async (): Promise<number> => {
    const asked = Array.from({ length: 20 }, () => within(ask(socket.url), { what: 'an answer', deadlineMs: 3_000 }))
    return (await Promise.allSettled(asked)).filter(({ status }) => status === 'fulfilled').length
  }
  // Some are with it, or on the way, before it is found out.
  await waitFor(async () => (await answered()) < 20, { what: 'the hang' })
  await waitFor(async () => (await answered()) === 20, { what: 'all to be answered' })
  expect(await answered()).toBe(20)
})

test('a preloaded table is made once, and is the same memory in every thread', async () => {
  using socket = bindSocket()
  await using host = await open(socket, 4, threaded, { preload: fixture('web/table.ts'), threadHeapMb: 123 })
  const counts: string[] = []
  for (let i = 0; i < 8; i++) counts.push(await ask(`${socket.url}/table`))
  expect(counts).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((count) => `${count} 1`))
  expect(host.output().match(/table made in the main thread/g)).toHaveLength(1)
  expect(await ask(`${socket.url}/heap`)).toBe('123')
  expect(await host.stop()).toEqual({ code: 0, signal: null })
})

test('a process has a table of its own, by the same code', async () => {
  using socket = bindSocket()
  await using child = startWeb(threaded, socket, { web: { preload: fixture('web/table.ts') } })
  await child.message('ready')
  expect(await ask(`${socket.url}/table`)).toBe('1 1')
})

test.each([
  ['web/uncloneable.mjs', /web\.preload .*uncloneable\.mjs made what threads cannot be given .*Expected SharedArrayBuffers/],
  ['web/nothing.mjs', /web\.preload .*nothing\.mjs exports helper\. Expected a default export/],
])('a preload module that cannot be used says why: %s', async (preload, message) => {
  using socket = bindSocket()
  await using host = startWeb(threaded, socket, { web: { kind: 'thread', preload: fixture(preload) } })
  expect(await host.message('failed')).toMatchObject({ message: expect.stringMatching(message) })
})

test('an entry that cannot be used ends the host as it ends a process', async () => {
  using socket = bindSocket()
  await using host = startWeb(fixture('web/never.mjs'), socket, { web: { kind: 'thread', workers: 2 } })
  const message = expect.stringMatching(/waits for something that can never happen/)
  expect(await host.message('failed')).toMatchObject({ message, config: false })
})

test('a script that listens itself serves from a thread as it is, at the real address', async () => {
  using socket = bindSocket()
  await using host = await open(socket, 1, fixture('web/script.ts'))
  expect(await ask(`${socket.url}/x`)).toBe('script /x')
  await waitFor(() => host.output().includes(`"port":${socket.port}`), { what: 'the address it was told' })
  expect(await host.stop()).toEqual({ code: 0, signal: null })
})

test('requests and WebSockets are drained in a thread as in a process', async () => {
  using socket = bindSocket()
  await using host = await open(socket, 1, fixture('web/slow.ts'))
  const web = connect(socket.port, '127.0.0.1')
  let received = Buffer.alloc(0)
  web.on('data', (chunk) => (received = Buffer.concat([received, chunk])))
  web.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await waitFor(() => received.includes('101 Switching'), { what: 'the upgrade' })
  let connection: unknown
  const answer = ask(`${socket.url}/slow?ms=1500`, {
    agent: new Agent({ keepAlive: true }),
    onHead: (head) => (connection = head['connection']),
  })
  await waitFor(() => host.status()?.inFlight === 1, { what: 'one request in flight' })
  const exit = host.stop({ deadlineMs: 30_000 })
  expect(await answer).toBe('version 1')
  expect(connection).toBe('close')
  await waitFor(() => received.subarray(-4).toString('hex') === '880203e9', { what: 'the close frame' })
  expect(await exit).toEqual({ code: 0, signal: null })
})

test('HTTP/2 streams under way are finished in a thread', async () => {
  using socket = bindSocket()
  await using host = await open(socket, 1, fixture('web/http2.mjs'))
  const session = connectHttp2(socket.url)
  const stream = session.request({ ':path': '/slow' })
  let received = ''
  stream.on('data', (chunk: Buffer) => (received += chunk.toString()))
  await waitFor(() => host.status()?.inFlight === 1, { what: 'the stream to open' })
  const exit = host.stop({ deadlineMs: 30_000 })
  await once(stream, 'end')
  expect(received).toBe('http2 answer')
  expect(await exit).toEqual({ code: 0, signal: null })
})
