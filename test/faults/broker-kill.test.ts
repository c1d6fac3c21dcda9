/** F9 of the fault matrix, in short: the broker is killed while messages flow. */
import { afterAll, describe, expect, it } from 'vitest'
import { connect, queue } from '../../src/index.ts'
import { startBroker } from '../support/broker.ts'
import { hasOwnRabbit, startRabbit } from '../support/rabbitmq.ts'
import { waitFor } from '../support/wait.ts'
import { Ledger } from './ledger.ts'

interface Victim extends AsyncDisposable {
  readonly url: string
  kill(): Promise<void>
  start(): Promise<void>
}

const builtin = async (): Promise<Victim> => {
  const broker = await startBroker()
  return {
    url: broker.tcpUrl,
    kill: () => broker.kill(),
    start: () => broker.start(),
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
  }
}

const victims = [
  { name: 'the built-in broker', available: true, start: builtin, kills: 3 },
  { name: 'RabbitMQ', available: hasOwnRabbit(), start: startRabbit as () => Promise<Victim>, kills: 1 },
]

const WINDOW = 100
const PREFETCH = 50

for (const { name, available, start, kills } of victims) {
  describe.runIf(available)(`kill -9 of ${name} while messages flow`, () => {
    let victim: Victim | undefined
    afterAll(() => victim?.[Symbol.asyncDispose]())

    it('loses nothing confirmed, settles every publish, and every consumer goes on', async () => {
      victim = await start()
      const ledger = new Ledger()
      const options = { deadlineMs: 120_000, heartbeatMs: 2_000, backoff: { minMs: 50, maxMs: 500 } }
      const publisher = connect(victim.url, options)
      const consumers = [connect(victim.url, options), connect(victim.url, options)]
      // RabbitMQ 3.10 itself may leave a quorum queue without a leader after such a kill.
      const work = queue('ledger', { type: 'classic' })
      for (const connection of consumers) {
        await connection.consume(
          work,
          async (delivery) => {
            ledger.handle(delivery.text())
            await delivery.ack()
          },
          { prefetch: PREFETCH },
        )
      }
      let flowing = true
      const produce = async (producer: number): Promise<void> => {
        for (let n = 0; flowing; n++) {
          // No more than consumers keep up with: a backlog would only make the broker's restart slower.
          await waitFor(() => ledger.confirmed.size - ledger.handled.size < 1_000, { what: 'consumers to keep up', deadlineMs: 120_000 })
          const id = `${producer}-${n}`
          ledger.sent.add(id)
          await publisher.publish(work, id).then(
            () => ledger.confirmed.add(id),
            (error: unknown) => ledger.failed.set(id, error),
          )
        }
      }
      const producing = Promise.all(Array.from({ length: WINDOW }, (_, producer) => produce(producer)))
      const flows = async (what: string): Promise<void> => {
        const before = { confirmed: ledger.confirmed.size, handled: ledger.handled.size }
        const enough = () => ledger.confirmed.size > before.confirmed + 500 && ledger.handled.size > before.handled + 500
        await waitFor(enough, { what, deadlineMs: 120_000 })
      }
      await flows('messages to flow')
      for (let kill = 0; kill < kills; kill++) {
        await victim.kill()
        await victim.start()
        await flows(`messages to flow again after kill ${kill + 1}`)
      }
      flowing = false
      await producing
      await waitFor(() => ledger.lost.length === 0, { what: 'every confirmed message to be handled', deadlineMs: 30_000 })
      expect({ lost: ledger.lost, unexpected: ledger.unexpected, stuck: ledger.stuck, failed: [...ledger.failed.values()] }).toEqual({
        lost: [],
        unexpected: [],
        stuck: [],
        failed: [],
      })
      // Only what was under way at a kill can come twice: unconfirmed and sent again, or handled and not acked.
      expect(ledger.duplicates).toBeLessThanOrEqual((WINDOW + consumers.length * PREFETCH) * kills)
      await Promise.all([publisher, ...consumers].map((connection) => connection.close()))
    }, 180_000)
  })
}
