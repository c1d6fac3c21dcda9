/** The frameworks people use, as they use them, in a real worker. */
import { once } from 'node:events'
import { join } from 'node:path'
import { connect as connectHttp2 } from 'node:http2'
import { get as getTls } from 'node:https'
import { describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { bindPath, bindSocket, fixture, startWeb, tlsEnv } from './child.ts'
import { ask } from './load.ts'

describe('is served as its author wrote it', () => {
  test.each([
    ['express.ts', 'express /x'],
    ['express.cjs', 'express /x'],
    ['express-listens.mjs', 'express /x'],
    ['koa.mjs', 'koa /x'],
    ['koa-factory.cjs', 'koa /x'],
    ['koa-listens.ts', 'koa /x'],
    ['fastify.mjs', 'fastify /x'],
    ['fastify-listens.cjs', 'fastify /x'],
    ['hono.ts', 'hono /x'],
    ['hono-object.mjs', 'hono /x'],
    ['hono-listens.ts', 'hono /x'],
    ['nest.cjs', 'nest /x'],
    ['nest-listens.cjs', 'nest /x'],
    ['websocket.ts', 'websocket /x'],
  ])('%s', async (entry, answer) => {
    using socket = bindSocket()
    await using child = startWeb(fixture(`frameworks/${entry}`), socket)
    await child.message('ready')
    expect(await ask(`${socket.url}/x`)).toBe(answer)
    expect(await child.stop()).toEqual({ code: 0, signal: null })
    expect(child.output()).not.toMatch(/"level":50/)
  })
})

test("Nest's shutdown hooks run when the app was exported", async () => {
  using socket = bindSocket()
  await using child = startWeb(fixture('frameworks/nest.cjs'), socket)
  await child.message('ready')
  await child.stop()
  expect(child.output()).toContain('nest shut down')
})

test('Express on a unix socket reads a body', async () => {
  using socket = bindPath(join(tempDir('unix'), 'web.sock'))
  await using child = startWeb(fixture('frameworks/express.ts'), socket)
  await child.message('ready')
  const options = { socketPath: socket.url, headers: { 'content-type': 'application/json' }, body: Buffer.from('{"a":1}') }
  expect(await ask('http://x/x', options)).toBe('{"a":1}')
  expect(await child.stop()).toEqual({ code: 0, signal: null })
})

test.each(['websocket.ts', 'websocket-alone.mjs'])('WebSockets of ws: %s', async (entry) => {
  using socket = bindSocket()
  await using child = startWeb(fixture(`frameworks/${entry}`), socket)
  await child.message('ready')
  const client = new WebSocket(`ws://127.0.0.1:${socket.port}`)
  await once(client, 'open')
  client.send('hello')
  const [data] = await once(client, 'message')
  expect(String(data)).toBe('echo hello')
  const closed = once(client, 'close')
  expect(await child.stop({ deadlineMs: 30_000 })).toEqual({ code: 0, signal: null })
  // Told, and not cut off: 1006 would be that.
  expect((await closed)[0]).toBe(1001)
})

test('server-sent events of Hono arrive as they are written', async () => {
  using socket = bindSocket()
  await using child = startWeb(fixture('frameworks/hono.ts'), socket)
  await child.message('ready')
  const response = await fetch(`${socket.url}/events`)
  expect(response.headers.get('content-type')).toContain('text/event-stream')
  expect(await response.text()).toContain('data: hello')
})

test('HTTP/2 over TLS, and HTTP/1.1 beside it', async () => {
  using socket = bindSocket()
  await using child = startWeb(fixture('frameworks/http2.ts'), socket, { env: tlsEnv })
  await child.message('ready')
  const session = connectHttp2(`https://127.0.0.1:${socket.port}`, { rejectUnauthorized: false })
  const stream = session.request({ ':path': '/x' })
  let received = ''
  stream.on('data', (chunk: Buffer) => (received += chunk.toString()))
  await once(stream, 'end')
  expect(received).toBe('http 2.0 /x')
  const [response] = await once(
    getTls({ port: socket.port, host: '127.0.0.1', path: '/x', rejectUnauthorized: false, agent: false }),
    'response',
  )
  const [chunk] = await once(response, 'data')
  expect(String(chunk)).toBe('http 1.1 /x')
  const goodbye = once(session, 'goaway')
  expect(await child.stop({ deadlineMs: 30_000 })).toEqual({ code: 0, signal: null })
  await goodbye
  await waitFor(() => session.closed, { what: 'the session to end' })
})

test('what the first worker compiled, the second one does not compile again, even if the first was killed', async () => {
  using socket = bindSocket()
  const env = { NODE_COMPILE_CACHE: tempDir('compiled') }
  const entry = fixture('frameworks/express.ts')
  {
    await using first = startWeb(entry, socket, { env })
    await first.message('ready')
    // The cache is written before a unit that is ready beats again.
    const told = first.beats()
    await waitFor(() => first.beats() > told, { what: 'the first beat after the start' })
  }
  await using second = startWeb(entry, socket, { env: { ...env, NODE_DEBUG_NATIVE: 'COMPILE_CACHE' } })
  await second.message('ready')
  await second.stop()
  const output = second.output()
  expect(output).toMatch(/V8 code cache for CommonJS \S*express\/lib\/application\.js was accepted/)
  expect(output).toMatch(/retrieving transpile cache for StrippedTypeScript \S*frameworks\/express\.ts\.\.\.success/)
})
