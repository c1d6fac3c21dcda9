import { connect, type Queue, queue as queueOf } from 'omnibus'
import { check, type Client } from '../workload.ts'

export const omnibusClient: Client = {
  async publish({ url, queue: name, payload, inFlight, count, tick }) {
    const connection = connect(url, { maxInFlight: inFlight, deadlineMs: 120_000 })
    const queue = queueNamed(name)
    await connection.declare(queue)
    let left = count
    await new Promise<void>((resolve, reject) => {
      const next = (): void => {
        if (left-- > 0) connection.publish(queue, payload).then(onConfirmed, reject)
      }
      const onConfirmed = (): void => (tick() ? resolve() : next())
      for (let i = 0; i < inFlight; i++) next()
    })
    await connection.close()
  },

  async consume({ url, queue, payload, inFlight, tick }) {
    const connection = connect(url)
    await new Promise<void>((resolve, reject) => {
      connection
        .consume(
          queueNamed(queue),
          (delivery) => {
            check(delivery.payload, payload)
            void delivery.ack()
            if (tick()) resolve()
          },
          { prefetch: inFlight },
        )
        .catch(reject)
    })
  },
}

/** A durable queue, of the type its name begins with. */
export function queueNamed(name: string): Queue {
  return queueOf(name, { type: name.startsWith('quorum.') ? 'quorum' : 'classic' })
}
