/** Python's clients and ours on one broker, both ways: what one writes the other reads. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { bind, connect, exchange, queue, type Connection, type Delivery } from 'omnibus'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, type BrokerProcess } from '../support/broker.ts'
import { have } from '../support/packages.ts'
import { run, type Running } from '../support/process.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { waitFor } from '../support/wait.ts'

const peer = (url: string, ...args: string[]): Running =>
  run('/usr/bin/python3', [join(import.meta.dirname, 'peer.py'), ...args.slice(0, 2), url, ...args.slice(2)], { label: args.join('-') })

interface Told {
  body: unknown
  properties: Record<string, unknown>
  headers: Record<string, unknown>
  redelivered: boolean
  routing_key: string
}
const told = (running: Running): Told[] => running.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Told)

/** As Kombu and Pika declare them: classic, without arguments. */
function entities() {
  const name = `interop.${randomUUID()}`
  const topic = exchange(name, { type: 'topic' })
  return { name, topic, inbox: queue(name, { type: 'classic', bindings: [bind(topic, 'greeting.*')] }) }
}

const COUNT = 60

describe.each(['RabbitMQ', 'the built-in broker'])('on %s', (where) => {
  const rabbit = where === 'RabbitMQ'
  describe.runIf(!rabbit || hasRabbit()).each(['kombu', 'pika'] as const)('%s', (library) => {
    let broker: BrokerProcess | undefined
    let url = ''
    let connection!: Connection

    beforeAll(async () => {
      if (!rabbit) broker = await startBroker()
      url = broker?.tcpUrl ?? (await sharedRabbit())
      connection = connect(url)
    })
    afterAll(async () => {
      await connection?.close()
      await broker?.[Symbol.asyncDispose]()
    })

    const runnable = test.runIf(have(`python3-${library}`))

    runnable('reads what we publish, in order, with its properties and headers', async () => {
      const { name, topic, inbox } = entities()
      await using consumer = peer(url, library, 'consume', name, String(COUNT))
      await consumer.line('ready')
      const headers = { text: 'grüße', number: 7, big: 2 ** 40, yes: true, list: [1, 'two'], table: { deep: 'er' } }
      for (let n = 0; n < COUNT; n++)
        await connection.publish(topic, 'greeting.node', { n }, { headers, messageId: `node-${n}`, type: 'greeting', correlationId: 'c' })
      expect(await consumer.exit()).toEqual({ code: 0, signal: null })
      const got = told(consumer)
      expect(got.map(({ body }) => body)).toEqual(Array.from({ length: COUNT }, (_, n) => ({ n })))
      expect(got[0]).toMatchObject({
        properties: { message_id: 'node-0', delivery_mode: 2, type: 'greeting', correlation_id: 'c', content_type: 'application/json' },
        headers,
        redelivered: false,
        routing_key: 'greeting.node',
      })
      expect(await connection.inspect(inbox)).toMatchObject({ messages: 0 })
    })

    runnable('writes what we read, in order, with its properties and headers', async () => {
      const { name, inbox } = entities()
      const got: Delivery[] = []
      await connection.consume(inbox, async (delivery) => {
        got.push(delivery)
        await delivery.ack()
      })
      await using producer = peer(url, library, 'produce', name, String(COUNT))
      await producer.line('produced')
      await waitFor(() => got.length >= COUNT, { what: `${COUNT} deliveries` })
      expect(got.map(({ payload }) => payload)).toEqual(Array.from({ length: COUNT }, (_, n) => ({ n })))
      expect(got[0]?.properties).toMatchObject({
        messageId: `${library}-0`,
        contentType: 'application/json',
        persistent: true,
        headers: { text: 'grüße', number: 7, yes: true, list: [1, 'two'], table: { deep: 'er' } },
      })
      expect(Number(got[0]?.properties.headers?.['big'])).toBe(2 ** 40)
      expect(got[0]?.routingKey).toBe(`greeting.${library}`)
    })

    runnable('holds what it has not acked until it is killed, and then we get it again', async () => {
      const { name, topic, inbox } = entities()
      await using consumer = peer(url, library, 'consume', name, '0')
      await consumer.line('ready')
      for (let n = 0; n < 5; n++) await connection.publish(topic, 'greeting.node', { n })
      await waitFor(() => told(consumer).length === 5, { what: 'five deliveries to the peer' })
      expect(await connection.inspect(inbox)).toMatchObject({ messages: 0, consumers: 1 })
      consumer.signal('SIGKILL')
      const got: Delivery[] = []
      await connection.consume(inbox, async (delivery) => {
        got.push(delivery)
        await delivery.ack()
      })
      await waitFor(() => got.length === 5, { what: 'five redeliveries' })
      expect(got.map(({ payload, redelivered }) => ({ payload, redelivered }))).toEqual(
        Array.from({ length: 5 }, (_, n) => ({ payload: { n }, redelivered: true })),
      )
    })
  })
})
