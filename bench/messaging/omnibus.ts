import { connect, queue as queueOf } from 'omnibus'
import { type Client, payload } from './workload.ts'

export const omnibusClient: Client = {
  async publish(url, name, count, window) {
    const connection = connect(url, { maxInFlight: window, deadlineMs: 120_000 })
    const queue = queueOf(name, { type: 'classic' })
    await connection.declare(queue)
    let left = count
    const pump = async (): Promise<void> => {
      while (left-- > 0) await connection.publish(queue, payload)
    }
    await Promise.all(Array.from({ length: window }, pump))
    await connection.close()
  },

  async consume(url, name, count, prefetch) {
    const connection = connect(url)
    let seen = 0
    await new Promise<void>((resolve, reject) => {
      connection
        .consume(
          queueOf(name, { type: 'classic' }),
          (delivery) => {
            if ((delivery.payload as typeof payload).id !== payload.id) reject(new Error('a wrong body'))
            void delivery.ack()
            if (++seen === count) resolve()
          },
          { prefetch },
        )
        .catch(reject)
    })
    await connection.close()
  },
}
