import { randomUUID } from 'node:crypto'
import amqp from 'amqplib'
import { describe, expect, test } from 'vitest'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { inspect, startBroker } from './processes.ts'

const ROUNDS = 4

describe('kill -9', () => {
  test('every confirmed message is there after a restart, and the file is sound', async () => {
    const data = tempDir('crash')
    const confirmed = new Set<string>()
    for (let round = 0; round < ROUNDS; round++) {
      const broker = await startBroker({ data, listen: '127.0.0.1:0' })
      await using _ = broker.process
      const connection = await amqp.connect(broker.url)
      connection.on('error', () => {})
      const channel = await connection.createConfirmChannel()
      channel.on('error', () => {})
      await channel.assertQueue('kept')
      let going = true
      const before = confirmed.size
      const publisher = (async () => {
        while (going) {
          for (let n = 0; n < 50; n++) {
            const id = randomUUID()
            channel.sendToQueue('kept', Buffer.from(id), { persistent: true }, (error) => {
              if (!error) confirmed.add(id)
            })
          }
          await new Promise((resolve) => setImmediate(resolve))
        }
      })().catch(() => {})
      await waitFor(() => confirmed.size >= before + 500, { what: '500 confirms', everyMs: 2 })
      broker.process.signal('SIGKILL')
      await broker.process.exit()
      going = false
      await publisher
    }
    const { integrity, bodies } = inspect(data)
    expect(integrity).toBe('ok')
    expect([...confirmed].filter((id) => !bodies.has(id))).toEqual([])
  })

  test('what a dead consumer held comes again, marked and counted', async () => {
    const data = tempDir('crash')
    const broker = await startBroker({ data, listen: '127.0.0.1:0' })
    await using _ = broker.process
    const publisher = await amqp.connect(broker.url)
    const channel = await publisher.createConfirmChannel()
    await channel.assertQueue('jobs')
    for (let n = 0; n < 5; n++) channel.sendToQueue('jobs', Buffer.from(`${n}`))
    await channel.waitForConfirms()

    const victim = await amqp.connect(broker.url)
    victim.on('error', () => {})
    const held = await victim.createChannel()
    held.on('error', () => {})
    await held.prefetch(3)
    let got = 0
    await new Promise<void>((resolve) => void held.consume('jobs', () => ++got === 3 && resolve()))
    const { stream } = victim.connection as unknown as { stream: { destroy(): void } }
    stream.destroy()

    const heirs: [string, boolean, unknown][] = []
    await new Promise<void>((resolve) => {
      void channel.consume('jobs', (message) => {
        if (!message) return
        heirs.push([message.content.toString(), message.fields.redelivered, message.properties.headers?.['x-delivery-count']])
        channel.ack(message)
        if (heirs.length === 5) resolve()
      })
    })
    expect(heirs.toSorted(([a], [b]) => Number(a) - Number(b))).toEqual([
      ['0', true, 1],
      ['1', true, 1],
      ['2', true, 1],
      ['3', false, undefined],
      ['4', false, undefined],
    ])
    await publisher.close()
  })
})
