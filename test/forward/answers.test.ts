/** What a sender makes of the ways in which servers answer, and of those in which they do not; byte by byte. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import { type Answer, createSender } from '../../src/worker/forward/sender.ts'

interface Raw {
  readonly send: (body?: Uint8Array) => Promise<Answer>
  /** Heads of requests so far. */
  readonly requests: () => number
  readonly connections: () => number
}

/** A server that does with each first part of a request as it is told; `nth` counts them on that connection, from 1. */
async function serving(act: (socket: Socket, nth: number) => void, timeoutMs = 10_000): Promise<Raw> {
  let [requests, connections] = [0, 0]
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    connections++
    sockets.add(socket.on('error', () => undefined))
    let nth = 0
    socket.on('data', (part) => {
      if (!part.toString('latin1').startsWith('POST ')) return
      requests++
      act(socket, ++nth)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const to = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const sender = createSender(resolveConfig({ forward: { it: { queue: 'q', to, timeoutMs } } }, { root: '/' }).forward['it']!)
  onTestFinished(() => {
    sender.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const send = (body: Uint8Array = Buffer.from('{}')): Promise<Answer> => sender.send({}, body, new AbortController().signal)
  return { send, requests: () => requests, connections: () => connections }
}

const http = (text: string): string => text.replaceAll('\n', '\r\n')
const OK = http('HTTP/1.1 200 OK\ncontent-length: 2\n\nok')
/** More than any buffer in between holds. */
const LARGE = Buffer.alloc(8 * 1024 * 1024)

const answers: readonly [string, string, Answer['type'], string?][] = [
  ['what is interim, then the answer', http('HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nlink: </x>\n\n') + OK, 'accepted'],
  ['in chunks', http('HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n2\nok\n0\n\n'), 'accepted'],
  ['a second answer that nobody has asked for', OK + http('HTTP/1.1 500 Oops\ncontent-length: 0\n\n'), 'accepted'],
  ['another protocol', http('HTTP/1.1 101 Switching Protocols\nupgrade: x\nconnection: upgrade\n\n'), 'failed', 'it answers 101'],
  ['no HTTP', 'hello\r\n\r\n', 'failed', 'Parse Error'],
  [
    'an answer with two ends',
    http('HTTP/1.1 200 OK\ncontent-length: 2\ntransfer-encoding: chunked\n\n2\nok\n0\n\n'),
    'failed',
    'Parse Error',
  ],
  ['an endless head', http(`HTTP/1.1 200 OK\nx: ${'x'.repeat(100_000)}\n\n`), 'failed', 'Parse Error'],
  ['a status that is none', http('HTTP/1.1 999 What\ncontent-length: 0\n\n'), 'failed', 'it answers 999'],
]
test.each(answers)('%s', async (_what, bytes, type, reason) => {
  const { send, requests } = await serving((socket) => socket.write(bytes))
  expect(await send()).toMatchObject({ type, ...(reason !== undefined && { reason: expect.stringContaining(reason) }) })
  expect(requests()).toBe(1)
})

const cut: readonly [string, string, Answer['type'], string?][] = [
  ['success', 'HTTP/1.1 200 OK\ncontent-length: 10\n\nok', 'failed', 'aborted'],
  ['success in chunks', 'HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n2\nok\n', 'failed', 'aborted'],
  ['a refusal', 'HTTP/1.1 422 No\ncontent-length: 10\n\nno', 'refused', 'it answers 422'],
  ['nothing', '', 'failed', 'socket hang up'],
]
test.each(cut)('%s, cut off', async (_what, text, type, reason) => {
  const { send, requests } = await serving((socket) => socket.end(http(text)))
  expect(await send()).toMatchObject({ type, reason: expect.stringContaining(reason ?? '') })
  expect(requests()).toBe(1)
})

test('an answer that ends with the connection is whole', async () => {
  const { send } = await serving((socket) => socket.end(http('HTTP/1.0 200 OK\n\nok')))
  expect((await send()).type).toBe('accepted')
})

test('an answer that comes before the body is read is the answer', async () => {
  const refusing = await serving((socket) => {
    socket.pause()
    socket.write(http('HTTP/1.1 413 Too Large\ncontent-length: 3\nconnection: close\n\nbig'), () => socket.resetAndDestroy())
  })
  expect(await refusing.send(LARGE)).toMatchObject({ type: 'refused', reason: expect.stringContaining('it answers 413') })
  const accepting = await serving((socket) => socket.write(OK))
  expect(await accepting.send(LARGE)).toEqual({ type: 'accepted' })
})

test('an answer is read no further than anybody wants to know, and not for ever', async () => {
  const large = await serving((socket) => {
    socket.write(http('HTTP/1.1 200 OK\ncontent-length: 1000000000\n\n'))
    socket.write(Buffer.alloc(1024 * 1024))
  })
  expect(await large.send()).toEqual({ type: 'accepted' })
  const slow = await serving((socket) => {
    socket.write(http('HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n'))
    const timer = setInterval(() => socket.write('1\r\nx\r\n'), 20)
    socket.once('close', () => clearInterval(timer))
  }, 200)
  expect(await slow.send()).toEqual({ type: 'failed', reason: 'no complete answer within 200 ms' })
})

test('a connection that was closed in the moment it was used again is no failure', async () => {
  const { send, requests, connections } = await serving((socket, nth) => {
    if (nth === 1) socket.write(OK)
    else socket.destroy()
  })
  expect([await send(), await send()]).toEqual([{ type: 'accepted' }, { type: 'accepted' }])
  expect([requests(), connections()]).toEqual([3, 2])
})

test('no answer is a failure also on a connection that was used before, and nothing is sent twice for it', async () => {
  const { send, requests, connections } = await serving((socket, nth) => nth === 1 && socket.write(OK), 200)
  expect([await send(), (await send()).type]).toEqual([{ type: 'accepted' }, 'failed'])
  expect([requests(), connections()]).toEqual([2, 1])
})
