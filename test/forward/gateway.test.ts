/** Messages taken by HTTP: what becomes of them in the broker, and what is refused; by the command. */
import { connect, event, queue } from 'omnibus'
import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { unique } from '../bus/brokers.ts'
import { startBroker, type BrokerProcess } from '../support/broker.ts'
import { omnibus } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import type { Running } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'

const json = { 'content-type': 'application/json' }
const ce = { 'ce-specversion': '1.0', 'ce-id': 'e1', 'ce-source': 'https://shop/', 'ce-type': 'order.placed.v1' }

describe('the gateway', () => {
  let broker: BrokerProcess
  let gateway: Running
  let port = 0
  beforeAll(async () => {
    broker = await startBroker()
    port = await freePort()
    const cwd = tempDir('gateway')
    writeFileSync(join(cwd, 'token'), 'canary\n')
    const flags = ['--listen', `127.0.0.1:${port}`, '--listen-token-file', 'token', '--bus-url', broker.tcpUrl]
    gateway = omnibus(['forward', ...flags], { cwd })
    await gateway.line('"msg":"Ready"')
  })
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]()
    await broker[Symbol.asyncDispose]()
  })

  const post = async (
    path: string,
    headers: Record<string, string>,
    body = '{}',
  ): Promise<{ status: number; answer: Record<string, unknown> }> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { authorization: 'Bearer canary', ...headers },
      body,
    })
    return { status: response.status, answer: (await response.json()) as Record<string, unknown> }
  }

  test('publishes events in both modes, and plain messages; 202 when the broker has them', async () => {
    await using connection = connect(broker.tcpUrl)
    const orders = queue(unique('orders'), { listensTo: [event('order.placed.v1')] })
    await connection.declare(orders)
    const take = async (): Promise<Record<string, unknown>> => {
      const delivery = await connection.get(orders)
      await delivery?.ack()
      const { routingKey, properties, exchange } = delivery ?? {}
      return { routingKey, exchange, ...properties, body: Buffer.from(delivery?.body ?? []).toString() }
    }
    const extensions = {
      'ce-subject': 'kettle%20%C3%BC',
      'ce-correlationid': 'c1',
      'ce-time': '2026-01-02T03:04:05Z',
      traceparent: '00-a-b-01',
    }
    expect(await post('/publish', { ...json, ...ce, ...extensions }, '{"n":1}')).toEqual({
      status: 202,
      answer: { id: 'e1', routed: true },
    })
    const expected = {
      exchange: 'omnibus.events',
      routingKey: 'order.placed.v1',
      type: 'order.placed.v1',
      messageId: 'e1',
      appId: 'https://shop/',
    }
    expect(await take()).toMatchObject({
      ...expected,
      body: '{"n":1}',
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      correlationId: 'c1',
      timestamp: Date.parse('2026-01-02T03:04:05Z'),
      persistent: true,
      headers: { cloudEvents_subject: 'kettle ü', traceparent: '00-a-b-01' },
    })
    const structured = { specversion: '1.0', id: 'e1', source: 'https://shop/', type: 'order.placed.v1', n: 3 }
    const cases: readonly [object, string, string | undefined][] = [
      [{ data: { a: [1] } }, '{"a":[1]}', 'application/json'],
      [{ data: 'text', datacontenttype: 'text/plain' }, 'text', 'text/plain'],
      [{ data: 'text' }, '"text"', 'application/json'],
      [{ data_base64: 'aGk=', datacontenttype: 'image/x' }, 'hi', 'image/x'],
      [{}, '', undefined],
    ]
    for (const [given, body, contentType] of cases) {
      const sent = await post(
        '/publish',
        { 'content-type': 'application/cloudevents+json; charset=utf-8' },
        JSON.stringify({ ...structured, ...given }),
      )
      expect(sent.status).toBe(202)
      const { contentType: told, ...rest } = await take()
      expect(rest).toMatchObject({ ...expected, body, headers: { cloudEvents_n: '3' } })
      expect(told).toBe(contentType)
    }
    const plain = await post(`/publish?exchange=&routing_key=${orders.name}`, { 'content-type': 'text/plain' }, 'hello')
    expect(plain).toMatchObject({ status: 202, answer: { routed: true } })
    expect(await take()).toMatchObject({ body: 'hello', contentType: 'text/plain', messageId: plain.answer['id'] })
    // Nobody listens, which is no error of a fact, but one of a message.
    expect(await post('/publish', { ...json, ...ce, 'ce-type': 'nobody.listens' })).toEqual({
      status: 202,
      answer: { id: 'e1', routed: false },
    })
    expect(await post('/publish?routing_key=nobody', json)).toMatchObject({ status: 404 })
    expect(await post('/publish?exchange=nowhere&routing_key=nobody', json)).toMatchObject({ status: 422 })
  })

  const wrong: readonly [string, number, string, Record<string, string>, string?][] = [
    ['another path', 404, '/', { ...json, ...ce }],
    ['no destination', 400, '/publish', json],
    ['an unknown parameter', 400, '/publish?queue=q', json],
    ['a long routing key', 400, `/publish?routing_key=${'x'.repeat(256)}`, json],
    ['no type', 400, '/publish', { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': 's' }],
    ['another version', 400, '/publish', { ...ce, 'ce-specversion': '0.3' }],
    ['bad encoding', 400, '/publish', { ...ce, 'ce-subject': '%zz' }],
    ['a control character', 400, '/publish', { ...ce, 'ce-id': 'a%0Ab' }],
    ['no time', 400, '/publish', { ...ce, 'ce-time': 'soon' }],
    ['no JSON', 400, '/publish', { 'content-type': 'application/cloudevents+json' }, '{"id":'],
    ['a list', 400, '/publish', { 'content-type': 'application/cloudevents+json' }, '[]'],
    ['deep JSON', 400, '/publish', { 'content-type': 'application/cloudevents+json' }, '['.repeat(100)],
    ['an attribute that is none', 400, '/publish', { 'content-type': 'application/cloudevents+json' }, '{"__proto__":1}'],
    ['a batch', 415, '/publish', { 'content-type': 'application/cloudevents-batch+json' }, '[]'],
    ['a packed body', 415, '/publish', { ...ce, 'content-encoding': 'gzip' }],
    ['too large a body', 413, '/publish', ce, 'x'.repeat(1024 * 1024 + 1)],
    ['another token', 401, '/publish', { ...ce, authorization: 'Bearer canarY' }],
    ['no token', 401, '/publish', { ...ce, authorization: '' }],
  ]
  test.each(wrong)('refuses %s with %i', async (_what, status, path, headers, body) => {
    const refused = await post(path, headers, body)
    expect(refused).toEqual({ status, answer: { error: expect.any(String) } })
    expect(JSON.stringify(refused.answer)).not.toContain('canary')
  })

  test('stops reading a body without a length at the limit', async () => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const sending = request(
        { port, path: '/publish', method: 'POST', headers: { ...ce, authorization: 'Bearer canary' } },
        (response) => {
          response.resume()
          resolve(response.statusCode)
        },
      )
      sending.on('error', reject)
      for (let n = 0; n < 40; n++) sending.write('x'.repeat(32 * 1024))
    })
    expect(status).toBe(413)
  })

  test('says 503 while the broker is away, and Retry-After', async () => {
    await broker.kill()
    const response = await fetch(`http://127.0.0.1:${port}/publish`, {
      method: 'POST',
      headers: { authorization: 'Bearer canary', ...ce },
      body: '{}',
    })
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1'])
    await broker.start()
    await waitFor(async () => (await post('/publish', { ...json, ...ce })).status === 202, { what: 'it to publish again' })
    expect(gateway.lines.join('\n')).not.toContain('canary')
  })
})

test('other machines need a token, browsers on this one too, and the command says which flag is wrong', async () => {
  const refused = async (...flags: string[]): Promise<string> => {
    const command = omnibus(['forward', ...flags])
    expect(await command.exit()).toMatchObject({ code: 78 })
    await command[Symbol.asyncDispose]()
    return command.lines.join('\n')
  }
  expect(await refused()).toContain('--to: expected the URL messages are sent to, or --listen, got neither')
  for (const listen of ['0.0.0.0:1', '127.evil.example:1'])
    expect(await refused('--listen', listen)).toContain(
      `--listen-token-file: expected a token, since ${listen} can be reached from other machines`,
    )
  expect(await refused('--to', 'http://0.0.0.0:5000')).toMatch(
    /--to: expected an address.*\n.*--queue: expected the queue whose messages are sent, got nothing/,
  )
  expect(await refused('--to', 'http://h/', '--queue', 'q', '--', 'no-such-program')).toContain('-- COMMAND: expected a program')

  const port = await freePort()
  await using open = omnibus(['forward', '--listen', `127.0.0.1:${port}`])
  await open.line('"msg":"Ready"')
  const post = (headers: Record<string, string>): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}/publish`, { method: 'POST', headers, body: '{}' })
  expect((await post({ ...ce, origin: 'http://evil.example' })).status).toBe(403)
  expect((await post(ce)).status).toBe(202)
})
