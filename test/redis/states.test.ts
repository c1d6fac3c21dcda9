/** A Redis that serves nobody for a while, or not here: it is named, and what it kept is there once it serves again. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { connect, type ConnectionError, type ConnectionEvent, consume, createBus, event, on, queue } from 'omnibus'
import { afterEach, describe, expect, test } from 'vitest'
import { have } from '../support/packages.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { tempDir } from '../support/run-folder.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { waitFor } from '../support/wait.ts'

const started: RedisServer[] = []
async function start(...settings: readonly string[]): Promise<RedisServer> {
  const server = await startRedis(['--save', '', ...settings])
  started.push(server)
  return server
}
afterEach(async () => {
  for (const server of started.splice(0)) await server[Symbol.asyncDispose]()
})

const target = queue('kept', { type: 'classic' })

async function publish({ url }: RedisServer, ...payloads: readonly string[]): Promise<void> {
  await using connection = connect(url)
  for (const payload of payloads) await connection.publish(target, payload)
}

async function takeOne(url: string): Promise<unknown> {
  await using connection = connect(url, { deadlineMs: 60_000, backoff: { minMs: 50, maxMs: 500 } })
  const delivery = await waitFor(() => connection.get(target), { what: 'the message', deadlineMs: 60_000 })
  await delivery.ack()
  return delivery.payload
}

/** How the first attempt to connect ended. */
async function refusal(url: string): Promise<ConnectionError> {
  const downs: ConnectionError[] = []
  await using connection = connect(url, { onEvent: (each) => void (each.type === 'down' && downs.push(each.error)) })
  connection.ready({ deadlineMs: 60_000 }).catch(() => undefined)
  await waitFor(() => downs.length > 0, { what: 'a refusal', everyMs: 1 })
  return downs[0]!
}

describe.runIf(have('redis-server'))('a Redis', { timeout: 90_000 }, () => {
  test('that asks for a password: refused for good, until the URL has one', async () => {
    const server = await start()
    await publish(server, 'kept')
    await server.command('CONFIG', 'SET', 'requirepass', 'secret')
    expect(await refusal(server.url)).toMatchObject({ fatal: true, message: expect.stringContaining('asks for a password') })
    expect(await takeOne(server.url.replace('//', '//:secret@'))).toBe('kept')
  })

  test('that is a replica: named, and used once it is none', async () => {
    const server = await start()
    await publish(server, 'kept')
    await server.command('REPLICAOF', '127.0.0.1', '1')
    expect(await refusal(server.url)).toMatchObject({ fatal: false, message: expect.stringMatching(/replica/) })
    await server.command('REPLICAOF', 'NO', 'ONE')
    expect(await takeOne(server.url)).toBe('kept')
  })

  test('that becomes a replica under us: named, and what was published and in hand is there once it is none', async () => {
    const server = await start()
    const downs: string[] = []
    const onEvent = (each: ConnectionEvent): void => void (each.type === 'down' && downs.push(each.error.message))
    await using connection = connect(server.url, { deadlineMs: 60_000, backoff: { minMs: 50, maxMs: 200 }, onEvent })
    const handled: unknown[] = []
    const demoted = Promise.withResolvers<void>()
    await connection.consume(target, async (delivery) => {
      await demoted.promise
      if (await delivery.ack()) handled.push(delivery.payload)
    })
    await connection.publish(target, 'in hand')
    await waitFor(async () => (await server.command('HLEN', 'unacked')) === 1, { what: 'it to be in hand' })
    await server.command('REPLICAOF', '127.0.0.1', '1')
    demoted.resolve()
    const published = connection.publish(target, 'meanwhile')
    await waitFor(() => downs.length > 1, { what: 'both links to be told' })
    expect(downs.filter((text) => !text.includes('replica'))).toEqual([])
    await server.command('REPLICAOF', 'NO', 'ONE')
    await published
    await waitFor(() => handled.length === 2, { what: 'both' })
    expect(new Set(handled)).toEqual(new Set(['in hand', 'meanwhile']))
  })

  test('that cannot save: named, and used once it can', async () => {
    const folder = tempDir('redis-unsaved')
    const server = await start('--dir', folder, '--save', '3600 1')
    await publish(server, 'kept')
    // A folder with something in it, which no file can replace.
    const inTheWay = join(folder, 'dump.rdb', 'way')
    mkdirSync(inTheWay, { recursive: true })
    await server.command('BGSAVE')
    const failed = async (): Promise<boolean> => String(await server.command('INFO', 'persistence')).includes('rdb_last_bgsave_status:err')
    await waitFor(failed, { what: 'a save to fail' })
    expect(await refusal(server.url)).toMatchObject({ fatal: false, message: expect.stringContaining('takes no writes') })
    rmSync(join(folder, 'dump.rdb'), { recursive: true })
    await server.command('BGSAVE')
    await waitFor(async () => !(await failed()), { what: 'a save' })
    expect(await takeOne(server.url)).toBe('kept')
  })

  test('that takes a connection and then says nothing: given up in time, and asked again', async () => {
    const server = await start()
    await publish(server, 'kept')
    await using proxy = await startTcpProxy(Number(new URL(server.url).port))
    proxy.blackhole()
    const downs: string[] = []
    await using connection = connect(`redis://127.0.0.1:${proxy.port}`, {
      connectTimeoutMs: 300,
      onEvent: (each) => void (each.type === 'down' && downs.push(each.error.message)),
    })
    const taken = connection.get(target)
    await waitFor(() => downs.length > 0, { what: 'the first attempt to end' })
    proxy.restore()
    expect(downs[0]).toContain('did not open a session within 300 ms')
    const delivery = await taken
    expect(delivery?.payload).toBe('kept')
    await delivery?.ack()
  })

  test('that still reads its data: asked again soon', async () => {
    const server = await start('--enable-debug-command', 'yes', '--loading-process-events-interval-bytes', '1024')
    await publish(server, 'kept')
    for (let n = 0; n < 40; n++) await server.command('SET', `ballast-${n}`, 'x'.repeat(2_000))
    // Microseconds for each key.
    await server.command('CONFIG', 'SET', 'key-load-delay', '50000')
    const reading = server.command('DEBUG', 'RELOAD')
    const told = async (): Promise<ConnectionError | false> => {
      const error = await refusal(server.url)
      return error.message.includes('LOADING') && error
    }
    expect(await waitFor(told, { what: 'it to say that it is loading' })).toMatchObject({
      fatal: false,
      cut: true,
      message: expect.stringContaining('still reading its data'),
    })
    await reading
    expect(await takeOne(server.url)).toBe('kept')
  })

  test('of a cluster that is down: named, and used once it is up', async () => {
    const server = await start('--cluster-enabled', 'yes')
    const url = `${server.url}?global_keyprefix={kept}.`
    expect(await refusal(url)).toMatchObject({ fatal: false, message: expect.stringContaining('cluster is down') })
    await server.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await using connection = connect(url, { deadlineMs: 60_000, backoff: { minMs: 50, maxMs: 500 } })
    await connection.publish(target, 'kept')
    expect(await takeOne(url)).toBe('kept')
  })

  test('with messages of Kombu whose bodies are broken: dead letters with the reason, and the next is handled', async () => {
    const server = await start()
    const Task = event<{ n: number }>('states.task.v1')
    await using bus = createBus({ url: server.url, onEvent: () => undefined })
    const handled: number[] = []
    await bus.consume(
      consume(
        target,
        { deadLetter: true },
        on(Task, ({ data }) => void handled.push(data.n)),
      ),
    )
    const envelope = (body: Buffer | string, headers: object, more: object = {}): string =>
      JSON.stringify({
        body: Buffer.from(body).toString('base64'),
        'content-type': 'application/json',
        'content-encoding': 'utf-8',
        headers,
        properties: {
          type: Task.type,
          body_encoding: 'base64',
          delivery_tag: `${Math.random()}`,
          delivery_info: { exchange: '', routing_key: target.name },
          ...more,
        },
      })
    const gzip = { compression: 'application/x-gzip' }
    const broken: readonly (readonly [string, RegExp])[] = [
      [envelope('no archive', gzip), /not application\/x-gzip/],
      [envelope(Buffer.of(0x22, 0xff, 0xfe, 0x22), {}), /utf-8/i],
      [envelope('{"n": 1', {}), /JSON/],
    ]
    for (const [text] of broken) await server.command('LPUSH', target.name, text)
    await server.command('LPUSH', target.name, envelope('{"n":2}', {}, { body_encoding: 'rot13' }))
    await server.command('LPUSH', target.name, envelope('{"n":3}', {}))
    await waitFor(() => handled.length > 0, { what: 'the good one' })
    expect(handled).toEqual([3])
    await using connection = connect(server.url)
    for (const [, reason] of broken) {
      const letter = await waitFor(() => connection.get(`${target.name}.dlq`), { what: 'a dead letter' })
      expect(letter.properties.headers?.['omnibus-dead-reason']).toMatch(reason)
      await letter.ack()
    }
    // What is no envelope has no properties to die with: it is put aside, byte for byte.
    expect(await server.command('LLEN', `_omnibus.dead.${target.name}`)).toBe(1)
  })
})
