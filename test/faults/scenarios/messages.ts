/** F20, F26 and F27: messages that nobody can take. */
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { expect } from 'vitest'
import { type Connection, connect, consume, createBus, event, exchange, noRetry, on, PublishError, queue } from '../../../src/index.ts'
import { z } from 'zod'
import { waitFor } from '../../support/wait.ts'
import { type Row, type Scale, World } from '../world.ts'
import type { Reachable, Victim } from '../victim.ts'

/** No queue, or one that takes no more: never resolved and gone. */
export async function fullQueue(victim: Victim, scale: Scale): Promise<Row> {
  const count = scale === 'long' ? 5_000 : 500
  await using world = new World(victim.url)
  const connection = world.connect()
  const nowhere = exchange(`${world.queue.name}.x`, { type: 'topic' })
  const full = queue(`${world.queue.name}.full`, { type: 'classic', maxLength: 100, overflow: 'reject-publish' })
  const outcomes = async (publishing: readonly Promise<unknown>[]): Promise<Map<string, number>> => {
    const seen = new Map<string, number>()
    for (const result of await Promise.allSettled(publishing)) {
      const name = result.status === 'fulfilled' ? 'confirmed' : result.reason instanceof PublishError ? result.reason.reason : 'other'
      seen.set(name, (seen.get(name) ?? 0) + 1)
    }
    return seen
  }
  const times = Array.from({ length: count }, (_, n) => n)
  const unroutable = await outcomes([
    ...times.map((n) => connection.publish(nowhere, `key.${n}`, 'x')),
    ...times.map(() => connection.publish('', `${world.queue.name}.none`, 'x')),
  ])
  expect(Object.fromEntries(unroutable)).toEqual({ unroutable: 2 * count })
  const bounded = await outcomes(times.map((n) => connection.publish(full, `${n}`)))
  const { messages } = await connection.inspect(full)
  expect(Object.fromEntries(bounded)).toEqual({ confirmed: messages, nacked: count - messages })
  expect(messages).toBeGreaterThanOrEqual(100)
  await connection.delete(full)
  await connection.delete(nowhere)
  return {
    did: `${2 * count} messages to no queue, ${count} to one that takes 100`,
    seen: `${2 * count} rejected as unroutable; ${messages} confirmed and there, ${count - messages} rejected as nacked; none resolved and gone`,
  }
}

const Order = event('faults.order.v1', { schema: z.object({ id: z.string().max(10), nested: z.array(z.unknown()).optional() }) })

interface Post {
  readonly connection: Connection
  /** Publishes as it is, past all that the bus would check. */
  readonly raw: (id: string, body: Uint8Array, properties?: Record<string, unknown>) => Promise<unknown>
}

/** A bus consumer whose dead letters are read; resolves with the reason of each, by id. */
async function deadLetters(
  victim: Reachable,
  limits: { maxBodyBytes?: number },
  expected: number,
  send: (post: Post) => Promise<void>,
): Promise<{ reasons: Map<string, string>; handled: string[] }> {
  await using world = new World(victim.url)
  const work = queue(world.queue.name, { type: 'classic' })
  const handled: string[] = []
  const bus = createBus({ url: victim.url, connection: limits, onEvent: () => undefined })
  const connection = connect(victim.url, { maxBodyBytes: 128 * 1024 * 1024, deadlineMs: 60_000 })
  try {
    await bus.consume(
      consume(
        work,
        { concurrency: 20, retry: noRetry },
        on(Order, ({ data }) => void handled.push(data.id)),
      ),
    )
    const reasons = new Map<string, string>()
    const raw: Post['raw'] = (id, body, properties = {}) =>
      connection.publish('', work.name, body, { type: Order.type, contentType: 'application/json', ...properties, messageId: id })
    await send({ connection, raw })
    await waitFor(async () => (await connection.inspect(`${work.name}.dlq`)).messages === expected, {
      what: `${expected} dead letters`,
      deadlineMs: 100_000,
      everyMs: 100,
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}; handled: ${handled.join(' ')}`)
    })
    await raw('good', Buffer.from('{"id":"good"}'))
    await waitFor(() => handled.includes('good'), { what: 'the consumer to be well' })
    for (;;) {
      const letter = await connection.get(`${work.name}.dlq`)
      if (!letter) return { reasons, handled }
      reasons.set(String(letter.properties.messageId), String(letter.properties.headers?.['omnibus-dead-reason'] ?? ''))
      await letter.ack()
    }
  } finally {
    await bus.close()
    await connection.delete(work.name)
    await connection.delete(`${work.name}.dlq`)
    await connection.close()
  }
}

/** Bytes, JSON, types and headers that fit nothing. */
export async function malformed(victim: Reachable, scale: Scale): Promise<Row> {
  const count = scale === 'long' ? 10_000 : 400
  const good = Buffer.from('{"id":"x","nested":[1,{"a":"\\u00e9"}]}')
  const random = (below: number): number => Math.floor(Math.random() * below)
  const kinds: readonly (() => readonly [Uint8Array, Record<string, unknown>?])[] = [
    () => [Uint8Array.from({ length: random(200) + 1 }, () => 128 + random(128))],
    () => [good.subarray(0, good.length - 1 - random(good.length - 1))],
    () => [Buffer.concat([good, Buffer.from('}')])],
    () => [Buffer.from(`{"id":"x","nested":${'['.repeat(20_000)}${']'.repeat(20_000)}}`)],
    () => [Buffer.from('{"id":7}')],
    () => [Buffer.from('null')],
    () => [Buffer.from(`{"id":"${'x'.repeat(100)}","__proto__":{"admin":true}}`)],
    () => [good, { contentType: 'application/x-python-serialize' }],
    () => [good, { contentType: 'application/jsonish' }],
    () => [good, { type: 'somebody.elses.v1' }],
    () => [Buffer.from([0xff, 0xfe, 0x00]), { contentType: 'text/plain' }],
    () => [good, { headers: { compression: ['nested'], 'omnibus-attempts': 'many' }, contentType: 'text/\r\n\u001b[2J' }],
    () => [new Uint8Array(0)],
  ]
  const { reasons } = await deadLetters(victim, {}, count, async ({ raw }) => {
    for (let from = 0; from < count; from += 100) {
      await Promise.all(
        Array.from({ length: Math.min(100, count - from) }, (_, n) => raw(`m${from + n}`, ...kinds[(from + n) % kinds.length]!())),
      )
    }
  })
  expect(reasons.size).toBe(count)
  expect([...reasons].filter(([, reason]) => reason === '')).toEqual([])
  return {
    did: `${count} of ${kinds.length} kinds`,
    seen: `${reasons.size} dead letters, each with a reason; 0 crashes, and the consumer handled the next good one`,
  }
}

/** Bodies beyond the limit, plain and as small archives of something large. */
export async function oversized(victim: Reachable): Promise<Row> {
  const zeros = Buffer.alloc(100 * 1024 * 1024)
  const gzip = gzipSync(zeros)
  const brotli = brotliCompressSync(zeros)
  const all: readonly (readonly [string, Uint8Array, Record<string, unknown>?])[] = [
    ['plain', zeros.subarray(0, 2 * 1024 * 1024)],
    ['gzip', gzip, { headers: { compression: 'application/x-gzip' } }],
    ['gzip twice', gzipSync(gzip), { headers: { compression: 'application/x-gzip' } }],
    ['brotli', brotli, { headers: { compression: 'application/x-brotli' } }],
    ['encoding', gzip, { contentEncoding: 'gzip' }],
    ['many', gzip, { headers: { compression: 'gzip, gzip, gzip, gzip' } }],
  ]
  const bombs = all.filter(([, { byteLength }]) => byteLength <= (victim.maxBodyBytes ?? Infinity))
  const before = process.memoryUsage.rss()
  let peak = before
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 5)
  const { reasons } = await deadLetters(victim, { maxBodyBytes: 1024 * 1024 }, bombs.length, async ({ raw }) => {
    for (const [id, body, properties] of bombs) await raw(id, body, properties)
  }).finally(() => clearInterval(watch))
  expect([...reasons.keys()].toSorted()).toEqual(bombs.map(([id]) => id).toSorted())
  expect([...reasons].filter(([, reason]) => reason === '')).toEqual([])
  return {
    did: `${bombs.length === all.length ? '2 MiB where 1 MiB is allowed; ' : ''}100 MiB of zeros as gzip, gzip twice, brotli`,
    seen: `each a dead letter with its reason; memory grew by ${Math.round((peak - before) / 1024 / 1024)} MiB at most`,
  }
}
