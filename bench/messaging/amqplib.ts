import amqplib from 'amqplib'
import { type Client, payload } from './workload.ts'

export const amqplibClient: Client = {
  async publish(url, queue, count, window) {
    const connection = await amqplib.connect(url)
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue(queue, { durable: true })
    let left = count
    const pump = async (): Promise<void> => {
      while (left-- > 0) {
        await new Promise<void>((resolve, reject) => {
          const body = Buffer.from(JSON.stringify(payload))
          channel.sendToQueue(queue, body, { persistent: true, contentType: 'application/json', mandatory: true }, (error: unknown) =>
            error ? reject(error as Error) : resolve(),
          )
        })
      }
    }
    await Promise.all(Array.from({ length: window }, pump))
    await connection.close()
  },

  async consume(url, queue, count, prefetch) {
    const connection = await amqplib.connect(url)
    const channel = await connection.createChannel()
    await channel.assertQueue(queue, { durable: true })
    await channel.prefetch(prefetch)
    let seen = 0
    await new Promise<void>((resolve, reject) => {
      channel
        .consume(queue, (message) => {
          if (!message) return reject(new Error('cancelled'))
          if ((JSON.parse(message.content.toString()) as typeof payload).id !== payload.id) reject(new Error('a wrong body'))
          channel.ack(message)
          if (++seen === count) resolve()
        })
        .catch(reject)
    })
    await connection.close()
  },
}
