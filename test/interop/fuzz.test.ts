/**
 * Messages no sane peer sends, through a real broker: each is handled or lies in the dead letters with its reason.
 * FUZZ_MESSAGES=10000 sends more of them.
 */
import { deflateSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { connect, consume, event, noRetry, on, queue, type Headers, type PublishOptions } from '../../src/index.ts'
import { brokers, busOn, unique } from '../bus/brokers.ts'
import { hostileJson, mergeCarelessly } from '../core/hostile-json.ts'
import { waitFor } from '../support/wait.ts'

/** To SQS, whose requests take ten messages each, a quarter. */
const ALL_MESSAGES = Number(process.env['FUZZ_MESSAGES'] ?? 2_000)
const MAX_BODY = 16 * 1024

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const valid = fc.record({ n: fc.integer() }).map(json)
// Some hundred will do: they take long to make.
const hostile = fc.constantFrom(...fc.sample(hostileJson, 300)).map((more) => Buffer.from(`{"n":1,"more":${more}}`))
const odd = fc.constantFrom(
  '{"__proto__":{"polluted":1},"n":"x"}',
  '{"constructor":{"prototype":{"polluted":1}}}',
  '{"\\u005f_proto__":{"polluted":1}}',
  '{"__type__":"datetime","__value__":"never"}',
  '['.repeat(5_000) + ']'.repeat(5_000),
  '{"n":'.repeat(100),
  'null',
  '',
  '\u0000',
  '"\ud800"',
)
const bitsFlipped = fc.tuple(valid, fc.nat(), fc.integer({ min: 0, max: 7 })).map(([body, at, bit]) => {
  const flipped = Buffer.from(body)
  flipped[at % flipped.length]! ^= 1 << bit
  return flipped
})
const body = fc.oneof(
  valid,
  bitsFlipped,
  fc.jsonValue().map(json),
  hostile,
  odd.map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 200, size: 'max' }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom(Buffer.alloc(MAX_BODY + 1, 0x20), deflateSync(Buffer.alloc(10_000_000)), deflateSync(deflateSync('{"n":1}'))),
  valid.map((plain) => deflateSync(plain)),
)

const name = fc.constantFrom(
  'compression',
  '__proto__',
  'omnibus-attempts',
  'omnibus-dead-reason',
  'x-death',
  'constructor',
  'prototype',
  'a',
  '',
)
const { value } = fc.letrec<{ value: Headers[string]; table: Headers }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('gzip', 'application/x-gzip', 'application/x-bz2', 'zstd', null, true),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ maxLength: 20 }),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array({ maxLength: 20 }),
    fc.array(tie('value'), { maxLength: 3 }),
    tie('table'),
  ),
  table: fc.dictionary(name, tie('value'), { maxKeys: 3 }),
}))
const headers = fc.oneof(fc.constant({}), fc.constant({ compression: 'application/x-gzip' }), fc.dictionary(name, value, { maxKeys: 4 }))

const message = fc.record({
  body,
  properties: fc.record(
    {
      contentType: fc.constantFrom(
        'application/json',
        'application/json',
        'Application/JSON; x',
        'text/plain',
        'application/data',
        'text/html',
        'application/x-python-serialize',
        '',
      ),
      contentEncoding: fc.constantFrom('utf-8', 'binary', 'latin-1', 'utf-16', 'klingon', 'gzip'),
      headers,
      priority: fc.integer({ min: 0, max: 255 }),
      correlationId: fc.string({ maxLength: 20 }),
      replyTo: fc.string({ maxLength: 20 }),
      userId: fc.constant('guest'),
      timestamp: fc.nat(),
    },
    { requiredKeys: ['contentType'] },
  ),
})

describe.each(brokers.filter(({ name: broker }) => broker !== 'memory'))('on $name', (broker) => {
  const MESSAGES = broker.name === 'SQS' ? Math.ceil(ALL_MESSAGES / 4) : ALL_MESSAGES
  test.runIf(broker.available)(`${MESSAGES} malformed messages`, { timeout: 180_000 }, async () => {
    const Happened = event(unique('fuzz.happened'), { schema: z.looseObject({ n: z.number() }) })
    const work = queue(unique('fuzz.work'), { type: 'classic', listensTo: [Happened] })
    const { bus, events } = await busOn(broker, { connection: { maxBodyBytes: MAX_BODY, kombuTypes: true } })
    const connection = connect(await broker.url())
    const own = Reflect.ownKeys(Object.prototype)
    const handled: string[] = []
    await bus.consume(
      consume(
        work,
        { concurrency: 200, retry: noRetry },
        on(Happened, ({ id, data, headers: theirs }) => {
          mergeCarelessly({}, { data, theirs })
          handled.push(id)
        }),
      ),
    )
    const samples = fc.sample(message, MESSAGES)
    await Promise.all(
      samples.map(({ body: bytes, properties }, i) =>
        connection.publish('omnibus.events', Happened.type, bytes, {
          ...(properties as PublishOptions),
          messageId: String(i),
          deadlineMs: 60_000,
        }),
      ),
    )
    await bus.publish(Happened, { n: 7 }, { id: 'probe' })

    const dead = new Map<string, unknown>()
    const graves = await connection.consume(queue(`${work.name}.dlq`, { type: 'classic' }), async (delivery) => {
      dead.set(delivery.properties.messageId ?? '?', delivery.properties.headers?.['omnibus-dead-reason'])
      await delivery.ack()
    })
    await waitFor(() => handled.length + dead.size >= MESSAGES + 1, { what: 'each message to end somewhere', deadlineMs: 60_000 })
    await graves.stop()
    expect(handled).toContain('probe')
    expect(new Set([...handled, ...dead.keys()]).size).toBe(MESSAGES + 1)
    expect([...dead.values()].filter((reason) => typeof reason !== 'string' || reason === '')).toEqual([])
    expect(dead.size).toBeGreaterThan(MESSAGES / 2)
    expect(handled.length).toBeGreaterThan(MESSAGES / 50)
    expect(events.flatMap((e) => (e.type === 'message' && !['handled', 'dead-lettered'].includes(e.outcome.type) ? [e] : []))).toEqual([])
    expect(Reflect.ownKeys(Object.prototype)).toEqual(own)
    for (const left of [work.name, `${work.name}.dlq`]) {
      expect((await connection.inspect(left)).messages).toBe(0)
      await connection.delete(left)
    }
    await connection.close()
  })

  // Of AMQP's frames and its CC header.
  test.runIf(broker.available && ['the built-in broker', 'RabbitMQ'].includes(broker.name))(
    'a dead letter goes to the dead letters alone, whoever it is from and however long its headers are',
    async () => {
      const Happened = event(unique('fuzz.happened'))
      const work = queue(unique('fuzz.work'), { type: 'classic', listensTo: [Happened] })
      const other = queue(unique('fuzz.other'), { type: 'classic' })
      const { bus } = await busOn(broker)
      const connection = connect(await broker.url())
      await connection.declare(other)
      await bus.consume(
        consume(
          work,
          { retry: noRetry },
          on(Happened, () => {
            throw new Error(`no ${'luck '.repeat(1_000)}`)
          }),
        ),
      )
      // With a header frame of nearly the 128 KiB that both sides agree on, and one that has room.
      for (const text of ['x'.repeat(130_500), 'x']) {
        const headers = { CC: [other.name], text, compression: 'application/x-gzip' }
        await connection.publish('omnibus.events', Happened.type, deflateSync('7'), {
          headers,
          contentType: 'application/json',
          userId: 'guest',
        })
      }
      const dead: Headers[] = []
      await connection.consume(queue(`${work.name}.dlq`, { type: 'classic' }), async (delivery) => {
        expect(delivery.payload).toBe(7)
        dead.push(delivery.properties.headers ?? {})
        await delivery.ack()
      })
      await waitFor(() => dead.length === 2, { what: 'two dead letters' })
      for (const headers of dead) expect(headers['omnibus-dead-reason']).toMatch(/^no luck/)
      expect(new Set(dead.map(({ text }) => text))).toEqual(new Set(['x', undefined]))
      // A key beside its own in the exchange of events, but the name of a queue in the default exchange.
      expect((await connection.inspect(other)).messages).toBe(0)
      for (const left of [work.name, `${work.name}.dlq`, other.name]) await connection.delete(left)
      await connection.close()
    },
  )
})
