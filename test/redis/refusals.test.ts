/** Whatever Redis refuses, or holds that is no message, has a name, and no message is gone. */
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { bind } from '../../src/core/entities.ts'
import { ConnectionError, TopologyError, UnsupportedError } from '../../src/core/errors.ts'
import type { Session } from '../../src/core/transport.ts'
import { outgoing, publishOn } from '../../src/testing/conformance/subject.ts'
import { createRedisTransport } from '../../src/transports/redis/index.ts'
import { have } from '../support/packages.ts'
import { freePort } from '../support/ports.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { waitFor } from '../support/wait.ts'
import { ground } from './subjects.ts'

const certificate = (name: string): string => fileURLToPath(new URL(`../amqp/certificates/localhost.${name}.pem`, import.meta.url))

/** A session, with what it was warned of and why it died. */
async function open(url: string): Promise<{ session: Session; warnings: string[]; deaths: ConnectionError[] }> {
  const [warnings, deaths]: [string[], ConnectionError[]] = [[], []]
  const session = await createRedisTransport(systemClock).open({
    url: new URL(url),
    name: 'refusals test',
    connectTimeoutMs: 10_000,
    heartbeatMs: 10_000,
    signal: new AbortController().signal,
    handlers: { died: (reason) => deaths.push(reason), warned: (reason) => warnings.push(reason), blocked() {}, unblocked() {} },
  })
  onTestFinished(() => session.close())
  return { session, warnings, deaths }
}

describe.runIf(have('redis-server'))('Redis refuses', () => {
  let server: RedisServer
  let tlsPort: number
  beforeAll(async () => {
    tlsPort = await freePort()
    const tls = ['--tls-port', String(tlsPort), '--tls-cert-file', certificate('cert'), '--tls-key-file', certificate('key')]
    server = await startRedis(['--save', '', ...tls, '--tls-ca-cert-file', certificate('cert'), '--tls-auth-clients', 'no'])
    await server.command('ACL', 'SETUSER', 'reader', 'on', '>secret', '~*', '&*', '+@all', '-lpush', '-hset', '-hsetnx')
  })
  afterAll(() => server[Symbol.asyncDispose]())

  it.each<[string, (to: { port: number; tlsPort: number }) => string, boolean, RegExp]>([
    ['a wrong password', ({ port }) => `redis://reader:wrong-one@127.0.0.1:${port}`, true, /user name or the password is wrong/],
    ['a database it has not', ({ port }) => `redis://127.0.0.1:${port}/99`, true, /DB index/],
    ['a certificate that nobody vouches for', (to) => `rediss://localhost:${to.tlsPort}`, false, /self-signed/],
    ['plain text on its TLS port', (to) => `redis://localhost:${to.tlsPort}`, false, /./],
    ['a port where nobody is', () => `redis://127.0.0.1:1`, false, /ECONNREFUSED/],
  ])('%s', async (_, url, fatal, text) => {
    const error: unknown = await open(url({ port: server.port, tlsPort })).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ConnectionError)
    expect((error as ConnectionError).message).toMatch(text)
    expect((error as ConnectionError).message).not.toContain('wrong-one')
    expect((error as ConnectionError).fatal).toBe(fatal)
  })

  it('nobody with TLS and its certificate', async () => {
    const { session } = await open(`rediss://localhost:${tlsPort}?cacertfile=${certificate('cert')}`)
    expect((await session.declareQueue((await ground(server.url)).process().queue())).messages).toBe(0)
  })

  it('what a user may not do: the call says so, and a publish', async () => {
    const { prefix, process } = await ground(server.url)
    const name = await process().declared()
    const { session, deaths } = await open(`redis://reader:secret@127.0.0.1:${server.port}?global_keyprefix=${prefix}`)
    await expect(session.declareQueue({ ...process().queue(), name: 'new' })).rejects.toThrow(TopologyError)
    await expect(session.declareQueue({ ...process().queue(), name: 'new' })).rejects.toThrow(/may not do that/)
    expect(await publishOn(session, [outgoing('', name, 'm')])).toEqual([
      { status: 'refused', reason: expect.stringMatching(/may not do that/) },
    ])
    await process().send(name, 'kept')
    await expect(session.get(name)).rejects.toThrow(/may not do that/)
    expect((await session.inspect(name)).messages).toBe(1)
    expect(deaths).toEqual([])
  })

  it('a key that holds something else: by name, and nothing else of the batch is lost', async () => {
    const { prefix, command, process } = await ground(server.url)
    const subject = process()
    const [name, broken] = [await subject.declared(), await subject.declared()]
    const { cancellations } = await subject.consume(broken)
    await command('SET', prefix + broken, 'text')
    const results = await subject.publish([outgoing('', name, 'a'), outgoing('', broken, 'lost'), outgoing('', name, 'b')])
    expect(results.map(({ status }) => status)).toEqual(['confirmed', 'refused', 'confirmed'])
    expect(results[1]).toMatchObject({ reason: expect.stringContaining(broken) })
    expect(await subject.drain(name)).toEqual(['a', 'b'])
    await expect((await subject.session()).get(broken)).rejects.toThrow(/WRONGTYPE/)
    await waitFor(() => cancellations.length === 1, { what: 'the subscription to end' })
    expect(cancellations[0]).toContain(broken)
    expect(await subject.deaths()).toEqual([])
  })

  it('to publish when its memory is full, and gives what it has', async () => {
    const { process } = await ground(server.url)
    const subject = process()
    const name = await subject.declared()
    await subject.send(name, 'before')
    const { bodies } = await subject.consume(name, { prefetch: 1 })
    await waitFor(() => bodies.length === 1, { what: 'the first' })
    await subject.send(name, 'second')
    await server.command('CONFIG', 'SET', 'maxmemory', '1')
    try {
      const [result] = await subject.send(name, 'too much')
      expect(result).toMatchObject({ status: 'nacked', reason: expect.stringMatching(/out of memory/) })
      const held = await (await subject.session()).get(name)
      expect(await held?.settle('requeue')).toBe(true)
      await subject.counts(name, { messages: 1 })
    } finally {
      await server.command('CONFIG', 'SET', 'maxmemory', '0')
    }
    expect(await subject.send(name, 'room')).toEqual([{ status: 'confirmed', routed: true }])
  })

  it('to write when it has become a replica: the session is over, and says why', async () => {
    const { process } = await ground(server.url)
    const subject = process()
    await subject.declared()
    await server.command('REPLICAOF', '127.0.0.1', '1')
    await waitFor(async () => (await subject.deaths()).length > 0, { what: 'the session to end' })
    await server.command('REPLICAOF', 'NO', 'ONE')
    expect((await subject.deaths())[0]?.message).toMatch(/replica/)
  })

  it('a script that somebody has flushed: the next session brings it again', async () => {
    const { process } = await ground(server.url)
    const { connection } = process().connect()
    const target = process().queue()
    await connection.publish(target, 'first')
    await server.command('SCRIPT', 'FLUSH')
    expect(await connection.publish(target, 'second')).toEqual({ routed: true })
  })

  it('nothing of this, but cannot: arguments it has no way to keep are named', async () => {
    const { process } = await ground(server.url)
    const subject = process()
    const session = await subject.session()
    const there = await subject.declared()
    const ask = [
      session.declareQueue(subject.queue({ maxLengthBytes: 7 })),
      session.declareQueue({ ...subject.queue(), arguments: { 'x-overflow': 'reject-publish-dlx' } }),
      session.declareExchange(subject.exchange('direct', { arguments: { 'alternate-exchange': 'x' } })),
      subject.consume(there, { arguments: { 'x-priority': 1 } }),
    ]
    const errors = (await Promise.allSettled(ask)).map((result) => (result.status === 'rejected' ? (result.reason as Error) : undefined))
    expect(errors.map((error) => error instanceof UnsupportedError)).toEqual([true, true, true, true])
    expect(errors.map((error) => /x-[a-z-]+|alternate-exchange/.exec(error?.message ?? '')?.[0])).toEqual([
      'x-max-length-bytes',
      'x-overflow',
      'alternate-exchange',
      'x-priority',
    ])
  })

  it('warns once of settings that lose messages', async () => {
    await server.command('CONFIG', 'SET', 'maxmemory', '1gb', 'maxmemory-policy', 'allkeys-lru')
    try {
      const { warnings } = await open(server.url)
      expect(warnings.join('\n')).toMatch(/allkeys-lru[^]*noeviction[^]*appendonly/)
      await server.command('CONFIG', 'SET', 'maxmemory', '0', 'appendonly', 'yes')
      expect((await open(server.url)).warnings).toEqual([expect.stringMatching(/appendfsync everysec/)])
      await server.command('CONFIG', 'SET', 'appendfsync', 'always')
      expect((await open(server.url)).warnings).toEqual([])
    } finally {
      await server.command('CONFIG', 'SET', 'maxmemory', '0', 'maxmemory-policy', 'noeviction', 'appendonly', 'no')
    }
  })
})

describe.runIf(have('redis-server'))('what is no message', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await startRedis(['--save', ''])
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const info = '"delivery_info": {"exchange": "", "routing_key": "q"}'
  const broken: [string, Buffer][] = [
    ['cut short', Buffer.from('{"body": "e30=", "properties": {"deliv')],
    ['no JSON', Buffer.from('garbage')],
    ['nothing', Buffer.from('')],
    ['another kind of JSON', Buffer.from('["body"]')],
    ['without a tag', Buffer.from(`{"body": "e30=", "properties": {${info}}}`)],
    ['without delivery info', Buffer.from('{"body": "e30=", "properties": {"delivery_tag": "t"}}')],
    [
      'a body that is not as it says',
      Buffer.from(`{"body": "§", "properties": {"body_encoding": "base64", "delivery_tag": "t", ${info}}}`),
    ],
    [
      'bytes that are no UTF-8',
      Buffer.concat([Buffer.from('{"body": "'), Buffer.of(0xff, 0xfe), Buffer.from(`", "properties": {"delivery_tag": "t", ${info}}}`)]),
    ],
  ]

  it.each(['a subscription', 'a subscription without acks', 'a get'])(
    'is put aside as it is by %s, and what is around it arrives',
    async (how) => {
      const { process, command, prefix, url } = await ground(server.url)
      const subject = process()
      const name = await subject.declared()
      await subject.send(name, 'before')
      for (const [, bytes] of broken) await command('LPUSH', prefix + name, bytes)
      await subject.send(name, 'after')
      const { session, warnings } = await open(url.href)
      if (how === 'a get') {
        const got = [await session.get(name), await session.get(name), await session.get(name)]
        expect(got.map((incoming) => incoming && Buffer.from(incoming.body).toString())).toEqual(['before', 'after', undefined])
        for (const incoming of got) await incoming?.settle('ack')
      } else {
        const noAck = how !== 'a subscription'
        const { bodies } = await subject.consume(name, { noAck, onDelivery: (delivery) => void delivery.settle('ack') }, session)
        await waitFor(() => bodies.length === 2, { what: 'the two that are messages' })
        expect(bodies).toEqual(['before', 'after'])
      }
      const dead = `${prefix}_omnibus.dead.${name}`
      await waitFor(async () => (await command('LLEN', dead)) === broken.length, { what: 'all others to be put aside' })
      for (const [what, bytes] of broken) expect(await command('LREM', dead, '1', bytes), what).toBe(1)
      // Those that Redis could tell for no JSON never got as far as here.
      expect(warnings.filter((warning) => warning.includes(dead)).length).toBeGreaterThan(0)
      expect(await command('HLEN', `${prefix}unacked`)).toBe(0)
    },
  )

  it('and in the way of dead letters is put aside, too', async () => {
    const { process, command, prefix } = await ground(server.url)
    const subject = process()
    const graves = subject.exchange('topic')
    const dead = await subject.declared({ bindings: [bind(graves, 'was.#')] })
    const name = await subject.declared({ messageTtlMs: 50, deadLetterExchange: graves, deadLetterRoutingKey: 'was.it' })
    await command('LPUSH', prefix + name, `{"_omnibus":"1|0|0|0|","body": "e30=", "properties": {}}`)
    await subject.send(name, 'readable')
    expect(Buffer.from((await subject.next(dead)).body).toString()).toBe('readable')
    await waitFor(async () => (await command('LLEN', `${prefix}_omnibus.dead.${name}`)) === 1, { what: 'the other to be put aside' })
  })
})
