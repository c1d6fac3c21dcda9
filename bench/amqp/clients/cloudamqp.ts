import { AMQPClient } from '@cloudamqp/amqp-client'
import { check, type Client } from '../workload.ts'

export const cloudamqpClient: Client = {
  async publish({ url, queue, payload, inFlight, count, tick }) {
    const connection = await new AMQPClient(url).connect()
    const channel = await connection.channel()
    await channel.confirmSelect()
    await channel.queueDeclare(queue, { durable: true })
    let left = count
    await new Promise<void>((resolve, reject) => {
      const next = (): void => {
        if (left-- <= 0) return
        const properties = { deliveryMode: 2, contentType: 'application/json' }
        channel.basicPublish('', queue, JSON.stringify(payload), properties, true).then(onConfirmed, reject)
      }
      const onConfirmed = (): void => (tick() ? resolve() : next())
      for (let i = 0; i < inFlight; i++) next()
    })
    await connection.close()
  },

  async consume({ url, queue, payload, inFlight, tick }) {
    const connection = await new AMQPClient(url).connect()
    const channel = await connection.channel()
    await channel.queueDeclare(queue, { durable: true })
    await channel.prefetch(inFlight)
    await new Promise<void>((resolve, reject) => {
      channel
        .basicConsume(queue, { noAck: false }, (message) => {
          check(JSON.parse(message.bodyString() ?? ''), payload)
          void message.ack()
          if (tick()) resolve()
        })
        .catch(reject)
    })
  },
}
