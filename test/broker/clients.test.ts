/** Clients that know nothing of us, with no change. */
import { join } from 'node:path'
import amqp from 'amqplib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BrokerHandle, startBroker } from '../../src/broker/index.ts'
import { have } from '../support/packages.ts'
import { runToEnd } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'

let broker: BrokerHandle
let port: string

beforeAll(async () => {
  broker = await startBroker({ data: tempDir('clients'), listen: '127.0.0.1:0' })
  port = broker.address!.listen!.split(':')[1]!
})
afterAll(() => broker.stop())

describe.each(['pika', 'kombu'] as const)('%s', (library) => {
  test.runIf(have(`python3-${library}`))('declares, publishes with confirms, consumes and acknowledges', async () => {
    const { code, output } = await runToEnd('/usr/bin/python3', [join(import.meta.dirname, 'clients.py'), library, port])
    expect({ code, output }).toMatchObject({ code: 0, output: 'done' })
  })
})

describe('amqplib', () => {
  test('publishes with confirms, consumes with a prefetch, and large bodies come whole', async () => {
    const connection = await amqp.connect(`amqp://guest:guest@127.0.0.1:${port}`)
    const channel = await connection.createConfirmChannel()
    await channel.assertExchange('js.events', 'topic')
    await channel.assertQueue('js.all', { arguments: { 'x-queue-type': 'quorum' } })
    await channel.bindQueue('js.all', 'js.events', '#')
    const sizes = [0, 1, 4095, 4096, 131_064, 131_065, 1_000_000, 5_000_000]
    for (const [n, size] of sizes.entries())
      channel.publish('js.events', `size.${n}`, Buffer.alloc(size, n + 1), { messageId: `${n}`, timestamp: 1_700_000_000 })
    await channel.waitForConfirms()
    await channel.prefetch(2)
    const got: amqp.ConsumeMessage[] = []
    await new Promise<void>((resolve) => {
      void channel.consume('js.all', (message) => {
        if (!message) return
        got.push(message)
        channel.ack(message)
        if (got.length === sizes.length) resolve()
      })
    })
    expect(
      got.map(({ content, properties, fields }) => [
        content.length,
        content.every((byte) => byte === Number(properties.messageId) + 1),
        fields.routingKey,
      ]),
    ).toEqual(sizes.map((size, n) => [size, true, `size.${n}`]))
    expect(got[0]?.properties.timestamp).toBe(1_700_000_000)
    await connection.close()
  })

  test('is told no by the same words as from RabbitMQ', async () => {
    const connection = await amqp.connect(`amqp://guest:guest@127.0.0.1:${port}`)
    connection.on('error', () => {})
    const channel = await connection.createChannel()
    channel.on('error', () => {})
    await expect(channel.checkQueue('nope')).rejects.toThrow(`404 (NOT-FOUND) with message "NOT_FOUND - no queue 'nope' in vhost '/'"`)
    await connection.close()
    await expect(amqp.connect(`amqp://guest:wrong@127.0.0.1:${port}`)).rejects.toThrow('ACCESS-REFUSED')
  })
})
