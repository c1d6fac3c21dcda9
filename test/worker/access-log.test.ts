import { once } from 'node:events'
import { createServer, request, type RequestOptions } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import { DEFAULT_FORMAT } from '../../src/config/access-log.ts'
import { clientAddresses } from '../../src/worker/web/client-address.ts'
import { waitFor } from '../support/wait.ts'
import { bindSocket, type Child, fixture, type ListenSocket, startWeb } from './child.ts'

const logged = fixture('web/logged.mjs')
/** In front of each line, to find it again. */
const MARK = 'ACCESS '

interface Logged {
  readonly socket: ListenSocket
  readonly child: Child
  readonly ask: (path: string, options?: RequestOptions) => Promise<void>
  readonly line: (number?: number) => Promise<string>
}

async function serving<T>(format: string, use: (logged: Logged) => Promise<T>, forwardedAllowIps: readonly string[] = []): Promise<T> {
  using socket = bindSocket()
  // The lines come whatever the level of the log.
  await using child = startWeb(logged, socket, { web: { accessLog: `${MARK}${format}`, forwardedAllowIps }, env: { FLAVOUR: 'vanilla' } })
  await child.message('ready')
  const lines = (): string[] =>
    child
      .output()
      .split('\n')
      .filter((line) => line.includes(`"msg":"${MARK}`))
      .map((line) => (JSON.parse(line) as { msg: string }).msg.slice(MARK.length))
  return await use({
    socket,
    child,
    async ask(path, options = {}) {
      const outgoing = request(`${socket.url}${path}`, { agent: false, ...options })
      outgoing.end()
      const [response] = await once(outgoing, 'response')
      response.resume()
      await once(response, 'end')
    },
    line: async (number = 1) => (await waitFor(() => lines()[number - 1], { what: `line ${number} of the access log` })) as string,
  })
}

test("Gunicorn's atoms", async () => {
  const expected: readonly (readonly [format: string, value: unknown])[] = [
    ['%(m)s %(U)s %(q)s %(H)s', 'GET /path a=1&b=2 HTTP/1.1'],
    ['%(r)s', 'GET /path?a=1&b=2 HTTP/1.1'],
    ['%(s)s %(B)s %(b)s', '200 5 5'],
    ['%(h)s %(l)s %(u)s', '127.0.0.1 - anna'],
    ['%(f)s %(a)s', 'http://from.example/ agent/1'],
    ['%({X-One}i)s %({x-reply}o)s %({FLAVOUR}e)s', '1 set vanilla'],
    ['%({absent}i)s %({absent}o)s %({ABSENT}e)s', '- - -'],
    ['%(t)s', expect.stringMatching(/^\[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]$/)],
    ['%(T)s %(M)s %(D)s %(L)s', expect.stringMatching(/^\d+ \d+ \d+ \d+\.\d{6}$/)],
    ['100%% %(p)s', expect.stringMatching(/^100% <\d+>$/)],
  ]
  const headers = { 'x-one': '1', referer: 'http://from.example/', 'user-agent': 'agent/1' }
  await serving(expected.map(([format]) => format).join(' | '), async ({ ask, line, child }) => {
    await ask('/path?a=1&b=2', { headers, auth: 'anna:secret' })
    expect((await line()).split(' | ')).toEqual(expected.map(([, value]) => value))
    expect(child.output()).not.toContain('secret')
  })
})

test('each response is measured by itself, also pipelined, streamed, bodiless and abandoned', async () => {
  await serving('%(m)s %(U)s %(s)s %(b)s %({x-reply}o)s', async ({ socket, ask, line }) => {
    const pipelined = connect(socket.port, '127.0.0.1')
    pipelined.write('GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /stream HTTP/1.1\r\nHost: x\r\n\r\nGET /missing HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(await line(1)).toBe('GET /1 200 5 set')
    // As sent: two chunks of 6 and 4 bytes and the last, each with its size and ends of lines (RFC 9112 §7.1).
    expect(await line(2)).toBe('GET /stream 200 25 set')
    expect(await line(3)).toBe('GET /missing 404 5 set')
    pipelined.destroy()
    await ask('/', { method: 'HEAD' })
    expect(await line(4)).toBe('HEAD / 200 - set')
    await ask('/head-only')
    expect(await line(5)).toBe('GET /head-only 200 15 in the head')
    const abandoned = request(`${socket.url}/hang`, { agent: false })
    abandoned.on('error', () => {})
    abandoned.end()
    await once(abandoned, 'finish')
    abandoned.destroy()
    expect(await line(6)).toBe('GET /hang - - -')
  })
})

test('whatever a client sends, a request is one line without control characters, and no secret', async () => {
  await serving(DEFAULT_FORMAT, async ({ socket, line }) => {
    const client = connect(socket.port, '127.0.0.1')
    // Latin-1, as it is on the wire: tab and C1 control characters are what HTTP lets through.
    const agent = 'quote " backslash \\ tab \t csi \u009b31m end'
    client.write(`GET /?token=hunter2 HTTP/1.1\r\nHost: x\r\nUser-Agent: ${agent}\r\nReferer: http://u:hunter2@x/\r\n\r\n`, 'latin1')
    const first = await line()
    expect(first).toContain(String.raw`"quote \" backslash \\ tab \x09 csi \x9b31m end"`)
    expect(first).not.toMatch(/\p{Cc}/u)
    expect(first).not.toContain('hunter2')
    client.write(`GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: ${'a'.repeat(10_000)}\r\n\r\n`)
    expect((await line(2)).length).toBeLessThan(5_000)
    client.destroy()
  })
})

describe('X-Forwarded-For', () => {
  test.each<[allowed: string[], forwarded: string, expected: string]>([
    [[], '1.2.3.4', '127.0.0.1'],
    [['10.0.0.0/8'], '1.2.3.4', '127.0.0.1'],
    [['127.0.0.1'], '1.2.3.4', '1.2.3.4'],
    [['127.0.0.1'], '6.6.6.6, 1.2.3.4', '1.2.3.4'],
    [['127.0.0.0/8', '10.0.0.0/8'], '6.6.6.6, 1.2.3.4, 10.9.9.9', '1.2.3.4'],
    [['127.0.0.1'], '6.6.6.6, nonsense', '127.0.0.1'],
    [['*'], '1.2.3.4, 5.6.7.8', '1.2.3.4'],
    [['127.0.0.1', '2001:db8::/32'], '[2001:db9::1]:443, 2001:db8::7', '2001:db9::1'],
  ])('believing %j, of "%s" is %s', async (allowed, forwarded, expected) => {
    const addressOf = clientAddresses(allowed)
    const server = createServer((asked, response) => response.end(addressOf(asked))).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const answer = await fetch(`http://127.0.0.1:${port}`, { headers: { 'x-forwarded-for': forwarded } })
    expect(await answer.text()).toBe(expected)
    server.close()
  })

  test('is believed as the config says', async () => {
    await serving(
      '%(h)s',
      async ({ ask, line }) => {
        await ask('/', { headers: { 'x-forwarded-for': '6.6.6.6, 1.2.3.4' } })
        expect(await line()).toBe('1.2.3.4')
      },
      ['127.0.0.1'],
    )
  })
})

test('timeouts of the config reach a server that has none of its own, and no other', async () => {
  const web = { keepAliveTimeoutMs: 50, headersTimeoutMs: 7_000, requestTimeoutMs: 8_000 }
  using socket = bindSocket()
  await using child = startWeb(logged, socket, { web })
  await child.message('ready')
  expect(await (await fetch(`${socket.url}/timeouts`)).json()).toEqual([50, 7_000, 8_000])
  const idle = connect(socket.port, '127.0.0.1')
  idle.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  idle.resume()
  // Closed by the server, long before this test's time is over.
  await once(idle, 'end')

  using other = bindSocket()
  await using own = startWeb(fixture('web/own-timeouts.mjs'), other, { web })
  await own.message('ready')
  expect(await (await fetch(other.url)).json()).toEqual([1_234, 9_876, 0])
})
