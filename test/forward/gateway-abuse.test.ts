/** What nobody may do to the gateway: browsers and names that lead here, requests that are none, and clients that are slow, or too many. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type IncomingHttpHeaders, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { omnibus, userFolder } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import type { Running } from '../support/process.ts'
import { waitFor } from '../support/wait.ts'
import { smuggling } from '../worker/smuggling.ts'

const AT_ONCE = 40
const EVENT = { 'ce-specversion': '1.0', 'ce-source': 's', 'ce-type': 't' }

let gateway: Running
let port = 0
beforeAll(async () => {
  port = await freePort()
  const cwd = userFolder('gateway')
  const limits = `{ listen: '127.0.0.1:${port}', maxConcurrent: ${AT_ONCE}, maxBodyBytes: 1000 }`
  writeFileSync(join(cwd, 'omnibus.config.mjs'), `export default { gateway: ${limits} }\n`)
  gateway = omnibus(['serve'], { cwd })
  await gateway.line('"msg":"Ready"')
})
afterAll(() => gateway[Symbol.asyncDispose]())

interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Not by `fetch`, which chooses some headers itself. */
async function ask(headers: Record<string, string>, method = 'POST', path = '/publish', body = '{}'): Promise<Answer> {
  const length = { 'content-length': String(Buffer.byteLength(body)) }
  const asking = request({ port, path, method, headers: { ...EVENT, 'ce-id': 'a', ...length, ...headers } }).end(body)
  const [response] = (await once(asking, 'response')) as [import('node:http').IncomingMessage]
  return { status: response.statusCode, headers: response.headers, body: await text(response) }
}

/** What comes back for these bytes until the end of the connection. */
async function raw(bytes: string): Promise<string> {
  const client = connect(port, '127.0.0.1')
  let answer = ''
  client.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
  // A reset is what a close comes out as where bytes were left unread.
  client.on('error', () => undefined)
  client.write(bytes, 'latin1')
  await once(client, 'close')
  return answer
}

const statuses = (answer: string): string[] => [...answer.matchAll(/^HTTP\/\S+ (\d+)/gm)].map(([, status = '']) => status)

const askers: readonly [string, number, Record<string, string>, string?][] = [
  ['a page of elsewhere', 403, { origin: 'https://evil.example' }],
  ['a page of nowhere', 403, { origin: 'null' }],
  ['a page that asks whether it may', 403, { origin: 'https://evil.example', 'access-control-request-method': 'POST' }, 'OPTIONS'],
  ['a browser that tells no origin', 403, { 'sec-fetch-site': 'same-origin' }],
  ['a name that was made to lead here', 403, { host: 'rebound.example:80' }],
  ['one that begins like an address', 403, { host: '127.0.0.1.rebound.example' }],
  ['one that is none', 403, { host: '[' }],
  ['an address', 202, { host: '127.0.0.1' }],
  ['one of IPv6', 202, { host: '[::1]:8081' }],
  ['localhost', 202, { host: 'LOCALHOST:8081' }],
]
test.each(askers)('without a token, %s gets %i', async (_who, status, headers, method) => {
  const answer = await ask(headers, method)
  expect(answer.status).toBe(status)
  expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([])
})

test('targets that are none are answered like any other that is not there', async () => {
  for (const target of ['//[', 'http://[', '*', '/', '/publish/x', '//publish', 'http://publish/']) {
    const answer = await raw(`POST ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`)
    expect(statuses(answer), target).toEqual(['404'])
  }
  expect(gateway.lines.filter((line) => line.includes('"level":50'))).toEqual([])
})

test('a request with two ends is refused, by its head where that comes first, and what hides behind it is not answered', async () => {
  const outcomes = Object.entries(smuggling).map(async ([name, bytes]) => [name, statuses(await raw(bytes)).join()] as const)
  expect((await Promise.all(outcomes)).filter(([, answers]) => !['400', '403', ''].includes(answers))).toEqual([])
})

test('requests in a row on one connection are answered in their order', async () => {
  const ids = Array.from({ length: AT_ONCE }, (_, n) => `n${n}`)
  const head = Object.entries(EVENT).map(([name, value]) => `${name}: ${value}\r\n`)
  const bytes = ids.map((id, n) => {
    const last = n === ids.length - 1 ? 'Connection: close\r\n' : ''
    return `POST /publish HTTP/1.1\r\nHost: localhost\r\n${head.join('')}ce-id: ${id}\r\nContent-Length: 2\r\n${last}\r\n{}`
  })
  const answer = await raw(bytes.join(''))
  expect(statuses(answer)).toEqual(ids.map(() => '202'))
  expect([...answer.matchAll(/"id":"(\w+)"/g)].map(([, id]) => id)).toEqual(ids)
})

test('clients that are slow hold up nobody: those with a body up to a number, and those without a head not for long', async () => {
  const open = async (bytes: string): Promise<Socket> => {
    const client = connect(port, '127.0.0.1').on('error', () => undefined)
    await once(client, 'connect')
    client.write(bytes)
    return client
  }
  const slowHead = raw('POST /publish HTTP/1.1\r\nHost: local')
  const idle = await Promise.all(Array.from({ length: 500 }, () => open('')))
  expect((await ask({})).status).toBe(202)

  const unfinished = 'POST /publish?routing_key=q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{'
  // One more, since a request of ours may have the last place when it comes.
  const slow = await Promise.all(Array.from({ length: AT_ONCE + 1 }, () => open(unfinished)))
  const full = await waitFor(
    async () => {
      const answer = await ask({})
      return answer.status === 503 && answer
    },
    { what: 'all places to be taken' },
  )
  expect(full.headers['retry-after']).toBe('1')
  expect(full.body).toContain(`more than ${AT_ONCE} requests are under way`)
  for (const client of slow) client.destroy()
  await waitFor(async () => (await ask({})).status === 202, { what: 'a place' })

  expect(statuses(await slowHead)).toEqual(['408'])
  for (const client of idle) client.destroy()
  // Nobody's fault but the clients'.
  expect(gateway.lines.filter((line) => line.includes('a request failed'))).toEqual([])
})
