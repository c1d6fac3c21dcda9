import { expect, it } from 'vitest'
import { Connection } from '../../src/core/connection.ts'
import { queue } from '../../src/core/entities.ts'
import { amqpTransport } from '../../src/transports/amqp/index.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { waitFor } from '../support/wait.ts'
import { unique } from './sessions.ts'

it.runIf(hasRabbit())('reads a stream of RabbitMQ from where it is told to, as often as one likes', async () => {
  const connection = new Connection([new URL(await sharedRabbit())], async () => amqpTransport)
  const log = queue(unique('stream'), { type: 'classic', arguments: { 'x-queue-type': 'stream', 'x-max-age': '1h' } })
  await Promise.all(Array.from({ length: 20 }, (_, i) => connection.publish(log, { i })))
  const readFrom = async (offset: string | number): Promise<unknown[]> => {
    const seen: unknown[] = []
    const consumer = await connection.consume(
      log,
      (delivery) => {
        seen.push((delivery.payload as { i: number }).i)
        void delivery.ack()
      },
      { prefetch: 5, arguments: { 'x-stream-offset': offset } },
    )
    await waitFor(() => seen.at(-1) === 19, { what: 'the end of the stream' })
    await consumer.stop()
    return seen
  }
  const all = Array.from({ length: 20 }, (_, i) => i)
  expect(await readFrom('first')).toEqual(all)
  expect(await readFrom('first')).toEqual(all)
  expect(await readFrom(15)).toEqual(all.slice(15))
  await connection.delete(log)
  await connection.close()
})
