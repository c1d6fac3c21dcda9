/** One broker, our connection to it and one process of Python's clients, for all the cases of a file. */
import { randomUUID } from 'node:crypto'
import { connect, type Connection, type ConnectionOptions, type Delivery, type Queue } from 'omnibus'
import { afterAll, beforeAll, describe } from 'vitest'
import { startBroker, type BrokerProcess } from '../support/broker.ts'
import { have } from '../support/packages.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { waitFor } from '../support/wait.ts'
import { startPeers, type PythonPeers } from './python-peers.ts'

export interface World {
  readonly url: string
  readonly connection: Connection
  readonly peers: PythonPeers
  /** Consumes and acks so many. */
  take(queue: Queue, count: number, options?: ConnectionOptions): Promise<Delivery[]>
}

export const unique = (name: string): string => `${name}.${randomUUID().slice(0, 8)}`

export function onEachBroker(define: (world: World) => void): void {
  describe.each(['RabbitMQ', 'the built-in broker'])('on %s', (where) => {
    const rabbit = where === 'RabbitMQ'
    describe.runIf((!rabbit || hasRabbit()) && have('python3-kombu', 'python3-pika'))('', () => {
      let broker: BrokerProcess | undefined
      let url = ''
      let connection: Connection | undefined
      let peers: PythonPeers | undefined

      beforeAll(async () => {
        if (!rabbit) broker = await startBroker()
        url = broker?.tcpUrl ?? (await sharedRabbit())
        connection = connect(url)
        peers = await startPeers(url)
      })
      afterAll(async () => {
        await connection?.close({ deadlineMs: 1_000 })
        await peers?.[Symbol.asyncDispose]()
        await broker?.[Symbol.asyncDispose]()
      })

      define({
        get url() {
          return url
        },
        get connection() {
          return connection!
        },
        get peers() {
          return peers!
        },
        async take(queue, count, options) {
          const own = options ? connect(url, options) : connection!
          const got: Delivery[] = []
          const consumer = await own.consume(queue, async (delivery) => {
            got.push(delivery)
            await delivery.ack()
          })
          await waitFor(() => got.length >= count, { what: `${count} deliveries` })
          await (options ? own.close() : consumer.stop())
          return got
        },
      })
    })
  })
}
