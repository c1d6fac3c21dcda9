import { deepEqual, equal } from 'node:assert/strict'
import type { Incoming, Settlement } from '../../core/transport.ts'
import { eventually } from '../eventually.ts'
import type { ConformanceFamily } from './suite.ts'
import { texts, textOf } from './subject.ts'

export const settling: ConformanceFamily = {
  name: 'settling',
  tests: [
    {
      name: 'ack removes, and so does reject',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, 'acked', 'rejected', 'left')
        equal(await (await subject.next(name)).settle('ack'), true)
        equal(await (await subject.next(name)).settle('reject'), true)
        await subject.counts(name, { messages: 1 })
        const left = await subject.next(name)
        equal(textOf(left), 'left')
        equal(left.redelivered, false)
      },
    },
    ...(['requeue', 'release'] as const).map((how) => ({
      name: `${how} brings the same message again, to the same queue, marked`,
      async run(subject: Parameters<ConformanceFamily['tests'][number]['run']>[0]) {
        const name = await subject.declared()
        await subject.send(name, 'again')
        const given: Settlement[] = [how, how, 'ack']
        const { deliveries, bodies } = await subject.consume(name, { onDelivery: (d) => void d.settle(given.shift() ?? 'ack') })
        await eventually('three deliveries', () => deliveries.length === 3)
        deepEqual(bodies, ['again', 'again', 'again'])
        deepEqual(
          deliveries.map(({ redelivered, queue }) => [redelivered, queue]),
          [
            [false, name],
            [true, name],
            [true, name],
          ],
        )
        await subject.counts(name, { messages: 0 })
      },
    })),
    {
      name: 'what is requeued comes before what has not been delivered yet',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, ...texts(5))
        await (await subject.next(name)).settle('requeue')
        await subject.counts(name, { messages: 5 })
        deepEqual(await subject.drain(name), texts(5))
      },
    },
    {
      name: 'a requeue is counted',
      needs: { what: 'delivery count', has: ({ deliveryCount }) => deliveryCount },
      async run(subject) {
        const name = await subject.declared({ type: 'quorum' })
        await subject.send(name, 'm')
        const counts: (number | undefined)[] = []
        await subject.consume(name, {
          onDelivery: (delivery) => {
            counts.push(delivery.deliveryCount)
            void delivery.settle(counts.length < 4 ? 'requeue' : 'ack')
          },
        })
        await eventually('four deliveries', () => counts.length === 4)
        deepEqual(counts, [0, 1, 2, 3])
      },
    },
    {
      name: 'a release is not counted',
      needs: { what: 'delivery count', has: ({ deliveryCount }) => deliveryCount },
      async run(subject) {
        const name = await subject.declared({ type: 'quorum' })
        await subject.send(name, 'm')
        const counts: (number | undefined)[] = []
        await subject.consume(name, {
          onDelivery: (delivery) => {
            counts.push(delivery.deliveryCount)
            void delivery.settle(counts.length < 3 ? 'release' : 'ack')
          },
        })
        await eventually('three deliveries', () => counts.length === 3)
        deepEqual(counts, [0, 0, 0])
      },
    },
    {
      name: 'a delivery whose consumer died is counted',
      needs: { what: 'delivery count', has: ({ deliveryCount }) => deliveryCount },
      async run(subject) {
        const name = await subject.declared({ type: 'quorum' })
        await subject.send(name, 'm')
        const { session } = await subject.open()
        const { deliveries } = await subject.consume(name, {}, session)
        await eventually('the delivery', () => deliveries.length === 1)
        session.destroy()
        const again = await subject.next(name)
        equal(again.redelivered, true)
        equal(again.deliveryCount, 1)
      },
    },
    {
      name: 'only the first settlement counts',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, 'a', 'b')
        const { deliveries } = await subject.consume(name)
        await eventually('both', () => deliveries.length === 2)
        equal(await deliveries[0]?.settle('ack'), true)
        await deliveries[0]?.settle('requeue')
        await deliveries[0]?.settle('ack')
        await subject.counts(name, { messages: 0 })
        equal(await deliveries[1]?.settle('ack'), true)
        equal(deliveries.length, 2)
        deepEqual(await subject.deaths(), [])
      },
    },
    {
      name: 'settles in any order and any mixture',
      async run(subject) {
        const name = await subject.declared()
        const session = await subject.session()
        await subject.send(name, ...texts(200))
        const held: Incoming[] = []
        for (let i = 0; i < 200; i++) held.push(await subject.next(name, session))
        // 7 and 200 have no common divisor, so that this walks through all of them, back and forth.
        for (let i = 0; i < 200; i++) await held[(i * 7) % 200]?.settle(i % 4 === 0 ? 'requeue' : i % 4 === 1 ? 'reject' : 'ack')
        await subject.counts(name, { messages: 50 })
        const left = await subject.drain(name)
        deepEqual(left.toSorted(), left.map((_, i) => `m${(i * 4 * 7) % 200}`).toSorted())
      },
    },
    {
      name: 'what a closed session held comes again, but for what it settled just before',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, 'acked', 'held', 'rejected', 'held too')
        const { session } = await subject.open()
        const { deliveries } = await subject.consume(name, {}, session)
        await eventually('all', () => deliveries.length === 4)
        void deliveries[0]?.settle('ack')
        void deliveries[2]?.settle('reject')
        await session.close()
        equal(await deliveries[1]?.settle('ack'), false)
        await subject.counts(name, { messages: 2 })
        deepEqual(await subject.drain(name), ['held', 'held too'])
      },
    },
    {
      name: 'what a dead session held comes again, marked',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, 'held', 'free')
        const { session, deaths } = await subject.open()
        const { deliveries } = await subject.consume(name, { prefetch: 1 }, session)
        await eventually('the delivery', () => deliveries.length === 1)
        session.destroy()
        equal(await deliveries[0]?.settle('ack'), false)
        await subject.counts(name, { messages: 2 })
        const again = await subject.next(name)
        equal(textOf(again), 'held')
        equal(again.redelivered, true)
        deepEqual(deaths, [])
      },
    },
  ],
}
