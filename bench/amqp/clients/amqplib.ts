import amqplib from 'amqplib'
import { check, type Client } from '../workload.ts'

export const amqplibClient: Client = {
  async publish({ url, queue, payload, inFlight, count, tick }) {
    const connection = await amqplib.connect(url)
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue(queue, { durable: true })
    let left = count
    await new Promise<void>((resolve, reject) => {
      const next = (): void => {
        if (left-- <= 0) return
        const body = Buffer.from(JSON.stringify(payload))
        channel.sendToQueue(queue, body, { persistent: true, contentType: 'application/json', mandatory: true }, onAnswer)
      }
      const onAnswer = (error: unknown): void => {
        if (error) reject(error as Error)
        else if (tick()) resolve()
        else next()
      }
      for (let i = 0; i < inFlight; i++) next()
    })
    await connection.close()
  },

  async consume({ url, queue, payload, inFlight, tick }) {
    const connection = await amqplib.connect(url)
    const channel = await connection.createChannel()
    await channel.assertQueue(queue, { durable: true })
    await channel.prefetch(inFlight)
    await new Promise<void>((resolve, reject) => {
      channel
        .consume(queue, (message) => {
          if (!message) return reject(new Error('cancelled'))
          check(JSON.parse(message.content.toString()), payload)
          channel.ack(message)
          if (tick()) resolve()
        })
        .catch(reject)
    })
  },
}
