import { deepEqual, equal, rejects } from 'node:assert/strict'
import type { Connection } from '../../core/connection.ts'
import type { Delivery } from '../../core/delivery.ts'
import type { Queue } from '../../core/entities.ts'
import { PublishError, RequestError } from '../../core/errors.ts'
import { eventually } from '../eventually.ts'
import type { ConformanceFamily, ConformanceTest } from './suite.ts'

const needs: ConformanceTest['needs'] = { what: 'direct replies', has: ({ directReply }) => directReply }

const answer = (connection: Connection, { properties }: Delivery, payload: unknown): Promise<unknown> =>
  connection.publish('', properties.replyTo!, payload, { correlationId: properties.correlationId })

/** Answers every request with what it says, but for those that say to keep silent. */
async function answering(connection: Connection, target: Queue): Promise<Delivery[]> {
  const asked: Delivery[] = []
  await connection.consume(target, async (delivery) => {
    asked.push(delivery)
    await delivery.ack()
    if (delivery.payload !== 'silence') await answer(connection, delivery, { heard: delivery.payload })
  })
  return asked
}

export const requesting: ConformanceFamily = {
  name: 'requests through Connection',
  tests: [
    {
      name: 'each of a hundred gets its own answer',
      needs,
      async run(subject) {
        const target = subject.queue()
        const [asker, answerer] = [subject.connect().connection, subject.connect().connection]
        await answering(answerer, target)
        const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => asker.request(target, n)))
        deepEqual(
          answers.map(({ payload }) => payload),
          answers.map((_, n) => ({ heard: n })),
        )
        equal(await answers[0]!.ack(), true)
        equal(asker.unconfirmed, 0)
      },
    },
    {
      name: 'one that no queue gets, that nobody answers, or that is given up rejects, and the next is answered',
      needs,
      async run(subject) {
        const target = subject.queue()
        const { connection } = subject.connect()
        await answering(connection, target)
        const reason = (wanted: string) => (error: unknown) =>
          (error instanceof RequestError || error instanceof PublishError) && error.reason === wanted
        await rejects(connection.request('', subject.unique('nowhere'), 'lost'), reason('unroutable'))
        await rejects(connection.request(target, 'silence', { deadlineMs: 300 }), reason('timeout'))
        await rejects(connection.request(target, 'silence', { signal: AbortSignal.timeout(300) }), reason('aborted'))
        await rejects(connection.request(subject.unique('no-exchange'), 'key', 'lost'), reason('refused'))
        deepEqual((await connection.request(target, 'next')).payload, { heard: 'next' })
      },
    },
    {
      name: 'one that was taken is lost with the link, and not asked again; the next is answered',
      needs,
      async run(subject) {
        const target = subject.queue()
        const asker = subject.connect()
        const asked = await answering(subject.connect().connection, target)
        const request = asker.connection.request(target, 'silence')
        const outcome = request.then(String, (error: unknown) => error)
        await eventually('it to be taken', () => asked.length === 1 && asker.connection.unconfirmed === 0)
        asker.breakAll()
        const error = await outcome
        equal(error instanceof RequestError && error.reason, 'lost')
        deepEqual((await asker.connection.request(target, 'next')).payload, { heard: 'next' })
        equal(asked.length, 2)
      },
    },
    {
      name: 'one asked while the broker is away waits for it',
      needs,
      async run(subject) {
        const target = subject.queue()
        const asker = subject.connect()
        await answering(subject.connect().connection, target)
        await asker.connection.request(target, 'first')
        asker.refuse(true)
        asker.breakAll()
        const request = asker.connection.request(target, 'patient')
        await eventually('the connection to be down', () => !asker.connection.connected)
        asker.refuse(false)
        deepEqual((await request).payload, { heard: 'patient' })
      },
    },
  ],
}
