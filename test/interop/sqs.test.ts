/** Kombu at the other end of a queue on SQS: what either side writes the other reads, and what one leaves the other takes. */
import { type Connection, type Delivery, bind, connect, exchange, queue } from 'omnibus'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { have } from '../support/packages.ts'
import { type SqsEmulator, startSqs } from '../support/sqs.ts'
import { waitFor } from '../support/wait.ts'
import { type PythonPeers, type Told, startPeers } from './python-peers.ts'
import { startQueryFront } from '../support/sqs-query.ts'
import { startHolder } from './holder.ts'
import { sent, written } from './messages.ts'
import { unique } from './world.ts'

/** How long either side holds what it does not ack. Seconds. */
const VISIBLE_S = 2

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
      const options = {
        region: 'us-east-1',
        is_secure: false,
        wait_time_seconds: 1,
        sqs_base64_encoding: base64,
        visibility_timeout: VISIBLE_S,
      }
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
      // Kombu's bindings are in its connection: ours is made of both declarations.
      await connection.declare(queue(theirs.name, { bindings: [bind(topic, theirs.key)] }))
      await connection.publish(topic, 'a.b', 'ours')
      expect((await peers.ask<Told[]>('kombu', 'consume', { ...theirs, count: 1 })).map(({ body, key }) => [body, key])).toEqual([
        ['ours', 'a.b'],
      ])
      const messages = [{ key: 'a.c', body: 'theirs' }]
      await peers.ask('kombu', 'publish', { exchange: topic.name, type: 'topic', messages, declare: [theirs] })
      expect((await take(theirs.name, 1)).map((got) => [got.payload, got.exchange, got.routingKey])).toEqual([
        ['theirs', topic.name, 'a.c'],
      ])
    })

    test.runIf(base64)('leaves to us what it has not acked, and takes what we give back or hold when we are killed', async () => {
      const name = unique('held')
      await peers.ask('kombu', 'declare', { name })
      await connection.publish('', name, { n: 1 })
      await using holder = await startPeers(`sqs://key:secret@${front.host}`, {
        region: 'us-east-1',
        is_secure: false,
        wait_time_seconds: 1,
        visibility_timeout: VISIBLE_S,
      })
      expect(await holder.ask('kombu', 'hold', { name, count: 1 })).toEqual([{ n: 1 }])
      holder.kill()
      const again = await waitFor(() => connection.get(name), { what: "the message, when Kombu's visibility timeout is over" })
      expect(again.redelivered).toBe(true)
      await again.release()
      const takes = async (): Promise<unknown[]> =>
        (await peers.ask<Told[]>('kombu', 'consume', { name, count: 1 })).map(({ body }) => body)
      expect(await takes()).toEqual([{ n: 1 }])

      await connection.publish('', name, { n: 2 })
      await using ours = startHolder(`${emulator.url}&lease_seconds=${VISIBLE_S}`, name)
      await waitFor(async () => (await connection.inspect(name)).messages === 0, { what: 'it to be held' })
      ours.signal('SIGKILL')
      expect(await takes()).toEqual([{ n: 2 }])
    })
  },
)
