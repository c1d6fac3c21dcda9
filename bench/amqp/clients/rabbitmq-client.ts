import { Connection } from 'rabbitmq-client'
import { check, type Client } from '../workload.ts'

export const rabbitmqClient: Client = {
  async publish({ url, queue, payload, inFlight, count, tick }) {
    const connection = new Connection(url)
    await connection.queueDeclare({ queue, durable: true })
    const channel = await connection.acquire()
    await channel.confirmSelect()
    let left = count
    await new Promise<void>((resolve, reject) => {
      const next = (): void => {
        // An object body is written as JSON.
        if (left-- > 0) channel.basicPublish({ routingKey: queue, durable: true, mandatory: true }, payload).then(onConfirmed, reject)
      }
      const onConfirmed = (): void => (tick() ? resolve() : next())
      for (let i = 0; i < inFlight; i++) next()
    })
    await channel.close()
    await connection.close()
  },

  async consume({ url, queue, payload, inFlight, tick }) {
    const connection = new Connection(url)
    await connection.queueDeclare({ queue, durable: true })
    const channel = await connection.acquire()
    await channel.basicQos({ prefetchCount: inFlight })
    await new Promise<void>((resolve, reject) => {
      channel
        .basicConsume({ queue }, (message) => {
          // It parses by itself what says no content encoding.
          check(Buffer.isBuffer(message.body) ? JSON.parse(message.body.toString()) : message.body, payload)
          channel.basicAck({ deliveryTag: message.deliveryTag })
          if (tick()) resolve()
        })
        .catch(reject)
    })
  },
}
