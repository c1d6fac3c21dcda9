/** Node's most used AMQP client, unchanged, against the built-in broker: what it does on RabbitMQ it does here. */
import { randomUUID } from 'node:crypto'
import { connect as connectAmqplib, type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib'
import { connect, queue } from 'omnibus'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker } from '../support/broker.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { waitFor } from '../support/wait.ts'

describe.each(['RabbitMQ', 'the built-in broker'])('amqplib on %s', (where) => {
  describe.runIf(where !== 'RabbitMQ' || hasRabbit())('', () => {
    let dispose = async (): Promise<void> => {}
    let url = ''
    let client: ChannelModel

    beforeAll(async () => {
      if (where === 'RabbitMQ') url = await sharedRabbit()
      else {
        const broker = await startBroker()
        url = broker.tcpUrl
        dispose = async () => broker[Symbol.asyncDispose]()
      }
      client = await connectAmqplib(url)
    })
    afterAll(async () => {
      await client?.close()
      await dispose()
    })

    const collect = async (channel: Channel, name: string, options = {}): Promise<ConsumeMessage[]> => {
      const got: ConsumeMessage[] = []
      await channel.consume(name, (message) => message && got.push(message), options)
      return got
    }

    test('publishes with confirms through each kind of exchange, and consumes', async () => {
      const channel = await client.createConfirmChannel()
      const { queue: name } = await channel.assertQueue('', { exclusive: true })
      const keys = { direct: 'a.b', topic: 'a.*', fanout: '', headers: '' }
      for (const [type, key] of Object.entries(keys)) {
        const exchange = `${type}.${randomUUID()}`
        await channel.assertExchange(exchange, type, { autoDelete: true })
        await channel.bindQueue(name, exchange, key, type === 'headers' ? { kind: 'cat', 'x-match': 'all' } : {})
        channel.publish(exchange, 'a.b', Buffer.from(type), { persistent: true, messageId: type, headers: { kind: 'cat' } })
        channel.publish(exchange, 'other', Buffer.from(`${type}, not wanted`), { headers: { kind: 'dog' } })
      }
      await channel.waitForConfirms()
      const got = await collect(channel, name, { noAck: true })
      await waitFor(() => got.length >= 5, { what: 'five messages' })
      expect(got.map(({ content }) => content.toString())).toEqual(['direct', 'topic', 'fanout', 'fanout, not wanted', 'headers'])
      expect(got[0]?.properties).toMatchObject({ messageId: 'direct', deliveryMode: 2, headers: { kind: 'cat' } })
      await channel.close()
    })

    test('has an unroutable mandatory message returned before it is confirmed', async () => {
      const channel = await client.createConfirmChannel()
      const order: string[] = []
      channel.on('return', (message: { fields: { replyText: string } }) => order.push(message.fields.replyText))
      await new Promise<void>((resolve, reject) =>
        channel.publish('', `nobody.${randomUUID()}`, Buffer.from('x'), { mandatory: true }, (error: unknown) => {
          order.push('confirmed')
          if (error === null || error === undefined) resolve()
          else reject(new Error(String(error)))
        }),
      )
      expect(order).toEqual(['NO_ROUTE', 'confirmed'])
      await channel.close()
    })

    test('prefetches, nacks, and gets rejected messages from the dead letter queue with their history', async () => {
      const channel = await client.createChannel()
      const [name, dead] = [`work.${randomUUID()}`, `dead.${randomUUID()}`]
      await channel.assertQueue(dead, { expires: 60_000 })
      await channel.assertQueue(name, { expires: 60_000, deadLetterExchange: '', deadLetterRoutingKey: dead })
      for (let n = 0; n < 5; n++) channel.sendToQueue(name, Buffer.from(String(n)))
      await channel.prefetch(2)
      const got = await collect(channel, name)
      await waitFor(() => got.length === 2, { what: 'as many as the prefetch allows' })
      channel.nack(got[0]!, false, true)
      await waitFor(() => got.length === 3, { what: 'the requeued message, first in line again' })
      expect(got.map(({ content, fields }) => `${content} ${fields.redelivered}`)).toEqual(['0 false', '1 false', '0 true'])
      channel.reject(got[1]!, false)
      await waitFor(async () => (await channel.checkQueue(dead)).messageCount === 1, { what: 'the dead letter' })
      const letter = await channel.get(dead, { noAck: true })
      expect(letter && letter.content.toString()).toBe('1')
      expect(letter && letter.properties.headers?.['x-death']).toMatchObject([{ queue: name, reason: 'rejected', count: 1 }])
      await channel.close()
    })

    test('is refused a declaration that differs, with the code and on the channel alone', async () => {
      const name = `declared.${randomUUID()}`
      const channel = await client.createChannel()
      await channel.assertQueue(name, { expires: 60_000 })
      const closed = new Promise<void>((resolve) => channel.once('close', resolve))
      channel.on('error', () => {})
      await expect(channel.assertQueue(name, { expires: 30_000 })).rejects.toMatchObject({ code: 406 })
      await closed
      const other = await client.createChannel()
      expect(await other.checkQueue(name)).toMatchObject({ queue: name })
      await other.close()
    })

    test('and our client read each other', async () => {
      const ours = connect(url)
      const channel = await client.createConfirmChannel()
      const [there, back] = [queue(`there.${randomUUID()}`, { expiresMs: 60_000 }), queue(`back.${randomUUID()}`, { expiresMs: 60_000 })]
      await ours.declare(there, back)
      const got = await collect(channel, there.name, { noAck: true })
      await ours.publish(there, { hello: 'amqplib' })
      await waitFor(() => got.length === 1, { what: 'our message' })
      expect(JSON.parse(String(got[0]?.content))).toEqual({ hello: 'amqplib' })
      channel.sendToQueue(back.name, Buffer.from('{"hello":"omnibus"}'), { contentType: 'application/json' })
      await channel.waitForConfirms()
      const delivery = await ours.get(back)
      expect(delivery?.payload).toEqual({ hello: 'omnibus' })
      await delivery?.ack()
      await channel.close()
      await ours.close()
    })
  })
})
