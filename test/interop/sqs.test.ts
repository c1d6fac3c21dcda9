/** Kombu at the other end of a queue on SQS: what either side writes the other reads, and what one leaves the other takes. */
import { gzipSync } from 'node:zlib'
import { type Connection, type Delivery, type MessageProperties, type PublishOptions, bind, connect, exchange, queue } from 'omnibus'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { have } from '../support/packages.ts'
import { type SqsEmulator, startSqs } from '../support/sqs.ts'
import { waitFor } from '../support/wait.ts'
import { type PythonPeers, type Told, bytes, startPeers } from './python-peers.ts'
import { startQueryFront } from './sqs-query.ts'
import { unique } from './world.ts'

const binary = Buffer.from([0, 0xff, 0xfe, 0x80])
const long = { text: 'ü'.repeat(5_000) }
const at = Date.UTC(2026, 0, 2, 3, 4, 5)

/** What Kombu is told to send, what our payload is, and some of our properties. */
const written: [what: string, message: Record<string, unknown>, payload: unknown, properties?: MessageProperties][] = [
  ['JSON', { body: { n: 1, text: 'grüße' } }, { n: 1, text: 'grüße' }, { contentType: 'application/json', persistent: true }],
  ['a text', { body: 'grüße 🎬' }, 'grüße 🎬', { contentType: 'text/plain', contentEncoding: 'utf-8' }],
  ['bytes', { body: bytes(binary) }, binary, { contentType: 'application/data', contentEncoding: 'binary' }],
  ['gzip', { body: long, compression: 'gzip' }, long, { headers: { compression: 'application/x-gzip' } }],
  ['real gzip', { body: bytes(gzipSync('"zipped"')), content_type: 'application/json', headers: { compression: 'gzip' } }, 'zipped'],
  ['compressed bytes', { body: bytes(binary), compression: 'gzip' }, binary],
  [
    'headers',
    { body: {}, headers: { text: 'grüße', big: 2 ** 40, half: 0.5, list: [1, [true]], none: null } },
    {},
    { headers: { text: 'grüße', big: 2 ** 40, half: 0.5, list: [1, [true]], none: null } },
  ],
  [
    'every property',
    {
      body: {},
      priority: 7,
      expiration: 60.5,
      delivery_mode: 1,
      correlation_id: 'c-1',
      reply_to: 'answers',
      message_id: 'm-1',
      timestamp: at / 1_000,
      type: 'greeting',
      app_id: 'flask',
    },
    {},
    {
      priority: 7,
      expirationMs: 60_500,
      persistent: false,
      correlationId: 'c-1',
      replyTo: 'answers',
      messageId: 'm-1',
      timestamp: at,
      type: 'greeting',
      appId: 'flask',
    },
  ],
]

/** What we send, and what Kombu tells of it. */
const sent: [what: string, payload: unknown, options: PublishOptions, told: object][] = [
  ['JSON', { n: 1, text: 'grüße' }, {}, { body: { n: 1, text: 'grüße' }, content_type: 'application/json', delivery_mode: 2 }],
  ['a text', 'grüße 🎬', {}, { body: 'grüße 🎬', content_type: 'text/plain' }],
  ['bytes', binary, {}, { body: bytes(binary), content_type: 'application/data' }],
  ['gzip', long, { compression: 'gzip', headers: { also: 1 } }, { body: long, headers: { also: 1 } }],
  ['compressed bytes', binary, { compression: 'gzip' }, { body: bytes(binary) }],
  [
    'every property',
    {},
    {
      priority: 7,
      expirationMs: 60_500,
      persistent: false,
      correlationId: 'c-1',
      replyTo: 'answers',
      messageId: 'm-1',
      timestamp: at,
      type: 'greeting',
      appId: 'node',
    },
    {
      priority: 7,
      expiration: '60500',
      delivery_mode: 1,
      correlation_id: 'c-1',
      reply_to: 'answers',
      message_id: 'm-1',
      timestamp: at / 1_000,
      type: 'greeting',
      app_id: 'node',
    },
  ],
]

describe.runIf(have('python3-kombu', 'python3-boto3', 'python3-pycurl', 'python3-pika')).each([true, false])(
  'Kombu on SQS, base64 %s',
  (base64) => {
    let emulator: SqsEmulator
    let connection: Connection
    let front: Awaited<ReturnType<typeof startQueryFront>>
    let peers: PythonPeers

    beforeAll(async () => {
      emulator = await startSqs()
      connection = connect(`${emulator.url}&sqs_base64_encoding=${base64}`)
      front = await startQueryFront(emulator.endpoint)
      // Kombu asks for a whole long poll where nothing is there.
      const options = { region: 'us-east-1', is_secure: false, wait_time_seconds: 1, sqs_base64_encoding: base64, visibility_timeout: 2 }
      peers = await startPeers(`sqs://key:secret@${front.host}`, options)
    })
    afterAll(async () => {
      await connection.close({ deadlineMs: 1_000 })
      await peers[Symbol.asyncDispose]()
      await front[Symbol.asyncDispose]()
      await emulator[Symbol.asyncDispose]()
    })

    async function take(name: string, count: number): Promise<Delivery[]> {
      const got: Delivery[] = []
      const consumer = await connection.consume(queue(name), async (delivery) => {
        got.push(delivery)
        await delivery.ack()
      })
      await waitFor(() => got.length >= count, { what: `${count} deliveries` })
      await consumer.stop()
      return got
    }

    test('writes what we read', async () => {
      const name = unique('formats')
      await peers.ask('kombu', 'declare', { name })
      await peers.ask('kombu', 'publish', { messages: written.map(([, message]) => ({ key: name, ...message })) })
      const got = await take(name, written.length)
      for (const [i, [what, , payload, properties]] of written.entries()) {
        expect.soft(got[i]?.payload, what).toEqual(payload)
        expect.soft(got[i]?.properties, what).toMatchObject(properties ?? {})
        expect.soft(got[i]?.routingKey, what).toBe(name)
      }
    })

    test('reads what we write', async () => {
      const name = unique('formats')
      await connection.declare(queue(name))
      for (const [, payload, options] of sent) await connection.publish('', name, payload, options)
      const got = await peers.ask<Told[]>('kombu', 'consume', { name, count: sent.length })
      for (const [i, [what, , , told]] of sent.entries()) expect.soft(got[i], what).toMatchObject(told)
      await waitFor(async () => (await connection.inspect(name)).messages === 0, { what: 'all to be acked' })
    })

    test('publishes to an exchange that it has declared, and so do we', async () => {
      const topic = exchange(unique('topic'), { type: 'topic' })
      const theirs = { name: unique('theirs'), exchange: topic.name, type: 'topic', key: 'a.*' }
      await peers.ask('kombu', 'declare', theirs)
      // Kombu's bindings are in its process: ours is made of both declarations.
      await connection.declare(queue(theirs.name, { bindings: [bind(topic, theirs.key)] }))
      await connection.publish(topic, 'a.b', 'ours')
      expect((await peers.ask<Told[]>('kombu', 'consume', { ...theirs, count: 1 })).map(({ body, key }) => [body, key])).toEqual([
        ['ours', 'a.b'],
      ])
    })

    test.runIf(base64)('leaves what it has not acked to us, and takes what we give back', async () => {
      const name = unique('held')
      await peers.ask('kombu', 'declare', { name })
      await connection.publish('', name, { n: 1 })
      await using holder = await startPeers(`sqs://key:secret@${front.host}`, {
        region: 'us-east-1',
        is_secure: false,
        wait_time_seconds: 1,
        visibility_timeout: 2,
      })
      expect(await holder.ask('kombu', 'hold', { name, count: 1 })).toEqual([{ n: 1 }])
      holder.kill()
      const again = await waitFor(() => connection.get(name), { what: "the message, when Kombu's visibility timeout is over" })
      expect(again.redelivered).toBe(true)
      await again.release()
      expect((await peers.ask<Told[]>('kombu', 'consume', { name, count: 1 })).map(({ body }) => body)).toEqual([{ n: 1 }])
    })
  },
)
