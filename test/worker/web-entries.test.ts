import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { bindPath, bindSocket, fixture, startWeb } from './child.ts'

describe('every kind of web entry is served from the inherited socket', () => {
  test.each([
    ['web/handler.ts', 'handler /x'],
    ['web/fetch.ts', 'fetch GET /x'],
    ['web/named-fetch.mjs', 'named /x'],
    ['web/fastify-instance.ts', 'fastify /x'],
    ['web/fastify-factory.ts', 'fastify factory /x'],
    ['web/fastify-listens.ts', 'fastify listens /x'],
    ['web/script.ts', 'script /x'],
    ['web/late-script.mjs', 'late /x'],
    ['web/server.mjs', 'server /x'],
    ['web/commonjs.cjs', 'commonjs /x'],
    ['web/compiled.cjs', 'compiled /x'],
  ])('%s', async (entry, answer) => {
    using socket = bindSocket()
    await using child = startWeb(fixture(entry), socket)
    await child.message('ready')
    // Ready is accepting: nothing is retried here.
    expect(await (await fetch(`${socket.url}/x`)).text()).toBe(answer)
    expect(await child.stop()).toEqual({ code: 0, signal: null })
    expect(child.messages.filter(({ type }) => type === 'ready')).toHaveLength(1)
  })
})

test('a script that listens is told so in every way, with the real address', async () => {
  using socket = bindSocket()
  await using child = startWeb(fixture('web/script.ts'), socket)
  await child.message('ready')
  await waitFor(() => child.output().includes('event listening') && child.output().includes('callback '), { what: 'both notices' })
  expect(child.output()).toContain(`"port":${socket.port}`)
})

test.each(['web/handler.ts', 'web/fastify-instance.ts', 'web/fastify-listens.ts'])(
  'on a unix socket, which outlives the worker: %s',
  async (entry) => {
    const path = join(tempDir('unix'), 'web.sock')
    using socket = bindPath(path)
    for (let worker = 1; worker <= 2; worker++) {
      await using child = startWeb(fixture(entry), socket)
      await child.message('ready')
      expect(await askPath(path)).toMatch(/ \/x$/)
      expect(await child.stop()).toEqual({ code: 0, signal: null })
    }
  },
)

test.each(['4000', '0'])(
  'beside a server on port %s one on the same port gets no connections of its own, one on another is real',
  async (PORT) => {
    using socket = bindSocket()
    await using child = startWeb(fixture('web/two-servers.mjs'), socket, { env: { PORT } })
    await child.message('ready')
    const portOf = async (name: string): Promise<string> => {
      const [, port = ''] = await waitFor(() => new RegExp(`${name} at (\\d+)`).exec(child.output()), { what: `the port of ${name}` })
      return port
    }
    // Each 0 asks for another one.
    expect((await portOf('twin')) === String(socket.port)).toBe(PORT !== '0')
    const port = await portOf('admin')
    expect(port).not.toBe(String(socket.port))
    expect(await (await fetch(socket.url)).text()).toBe('app')
    expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe('admin')
    expect(await child.stop()).toEqual({ code: 0, signal: null })
  },
)

test("Fastify's hooks run: onListen before ready, onClose at stop", async () => {
  using socket = bindSocket()
  await using child = startWeb(fixture('web/fastify-instance.ts'), socket)
  await child.message('ready')
  await waitFor(() => child.output().includes('hook onListen'), { what: 'onListen' })
  expect(child.output()).not.toContain('hook onClose')
  await child.stop()
  expect(child.output()).toContain('hook onClose')
})

describe('a fetch handler', () => {
  test('keeps status, headers and several cookies', async () => {
    using socket = bindSocket()
    await using child = startWeb(fixture('web/fetch.ts'), socket)
    await child.message('ready')
    expect((await fetch(`${socket.url}/x`, { method: 'POST', body: 'y' })).status).toBe(201)
    const response = await fetch(`${socket.url}/cookies`)
    expect(response.status).toBe(204)
    expect(response.headers.get('x-one')).toBe('1')
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    const head = await fetch(`${socket.url}/x`, { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([201, ''])
  })

  test('streams both ways at once', async () => {
    using socket = bindSocket()
    await using child = startWeb(fixture('web/fetch.ts'), socket)
    await child.message('ready')
    const outgoing = request(`${socket.url}/upper`, { method: 'POST' })
    let received = ''
    outgoing.on('response', (response) => response.on('data', (chunk: Buffer) => (received += chunk.toString())))
    outgoing.write('first ')
    // The answer to the first chunk, before there is a second.
    await waitFor(() => received === 'FIRST ', { what: 'the first chunk back' })
    outgoing.end('second')
    await waitFor(() => received === 'FIRST SECOND', { what: 'the second chunk back' })
  })

  test('that throws is a 500 for the client and a stack in the log', async () => {
    using socket = bindSocket()
    await using child = startWeb(fixture('web/fetch.ts'), socket)
    await child.message('ready')
    const response = await fetch(`${socket.url}/throw`)
    expect([response.status, await response.text()]).toEqual([500, ''])
    await waitFor(() => /fetch handler failed on purpose.*fetch\.ts:\d+/s.test(child.output()), { what: 'the stack in the log' })
  })
})

describe('an entry that cannot be used says why, and the child ends', () => {
  test('after it has flushed what the entry had begun', async () => {
    using socket = bindSocket()
    await using child = startWeb(fixture('web/half-started.ts'), socket)
    expect((await child.message('failed')).message).toMatch(/half-started\.ts cannot be loaded: no further/)
    expect(await child.exit()).toEqual({ code: 70, signal: null })
    expect(child.output()).toContain('closing, deadline ahead')
  })

  test.each([
    ['web/throws.mjs', /throws\.mjs cannot be loaded: RangeError: the entry failed on purpose/],
    ['web/nonsense.mjs', /nonsense\.mjs exports default; what it would serve is an object with port, colour\. Expected a request handler/],
    ['web/one-parameter.mjs', /one-parameter\.mjs exports default; what it would serve is a function with 1 parameter\. Expected/],
    ['web/nothing.mjs', /nothing\.mjs exports helper, and did not listen\. Expected/],
    ['web/never.mjs', /never\.mjs waits for something that can never happen/],
    ['web/factory-of-nothing.mjs', /factory-of-nothing\.mjs exports a function that returned a number\. Expected/],
  ])('%s', async (entry, message) => {
    using socket = bindSocket()
    await using child = startWeb(fixture(entry), socket)
    const failed = await child.message('failed')
    expect(failed.message).toMatch(message)
    expect(failed.config).toBe(false)
    expect(await child.exit()).toEqual({ code: 70, signal: null })
    expect(child.messages.some(({ type }) => type === 'ready')).toBe(false)
  })

  test.each([
    ['broken.mjs', 'export const a = 1\nexport default (request => {{\n'],
    ['broken.ts', 'export const a: number = 1\nexport default (request => {{\n'],
    ['broken.cjs', 'const a = 1\nmodule.exports = (request => {{\n'],
  ])('a syntax error in %s, with file and line', async (name, source) => {
    using socket = bindSocket()
    const entry = join(tempDir('entry'), name)
    writeFileSync(entry, source)
    await using child = startWeb(entry, socket)
    const { message } = await child.message('failed')
    expect(message).toContain(entry)
    expect(message).toMatch(/Error/)
    expect(message).toMatch(/:[23]\b/)
    expect(await child.exit()).toEqual({ code: 70, signal: null })
  })

  test('a file that does not exist is an error of the configuration', async () => {
    using socket = bindSocket()
    await using child = startWeb('/nonexistent/web.ts', socket)
    expect(await child.message('failed')).toMatchObject({ config: true, message: expect.stringContaining('/nonexistent/web.ts') })
    expect(await child.exit()).toEqual({ code: 78, signal: null })
  })
})

function askPath(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path: '/x', agent: false }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () => resolve(text))
    })
    outgoing.on('error', reject)
    outgoing.end()
  })
}
