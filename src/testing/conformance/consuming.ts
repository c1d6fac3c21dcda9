import { deepEqual, equal, rejects } from 'node:assert/strict'
import { sleep } from '../../core/clock.ts'
import { eventually } from '../eventually.ts'
import type { ConformanceFamily } from './suite.ts'
import { texts } from './subject.ts'

/** Long enough for a delivery that must not come to show. Milliseconds. */
const QUIET_MS = 100

export const consuming: ConformanceFamily = {
  name: 'consuming',
  tests: [
    {
      name: 'delivers in order, what was there and what comes',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, ...texts(100).slice(0, 50))
        const consumed = await subject.consume(name, { prefetch: 10, onDelivery: (delivery) => void delivery.settle('ack') })
        await subject.send(name, ...texts(100).slice(50))
        await eventually('all deliveries', () => consumed.bodies.length === 100)
        deepEqual(consumed.bodies, texts(100))
        deepEqual(consumed.cancellations, [])
        await subject.counts(name, { messages: 0, consumers: 1 })
      },
    },
    {
      name: 'holds the prefetch, and sends one more for each that is settled',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, ...texts(20))
        const { deliveries } = await subject.consume(name, { prefetch: 3 })
        await eventually('the prefetch to fill', () => deliveries.length === 3)
        await sleep(QUIET_MS)
        equal(deliveries.length, 3)
        await subject.counts(name, { messages: 17 })
        void deliveries[1]?.settle('ack')
        await eventually('one more', () => deliveries.length === 4)
        void deliveries[0]?.settle('reject')
        await eventually('one more', () => deliveries.length === 5)
        await sleep(QUIET_MS)
        equal(deliveries.length, 5)
      },
    },
    {
      name: 'counts the prefetch for each subscription alone',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, ...texts(20))
        const [first, second] = [await subject.consume(name, { prefetch: 2 }), await subject.consume(name, { prefetch: 5 })]
        await eventually('both to fill', () => first.bodies.length === 2 && second.bodies.length === 5)
        await subject.counts(name, { messages: 13, consumers: 2 })
      },
    },
    {
      name: 'sets no limit with prefetch 0',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, ...texts(300))
        const { bodies } = await subject.consume(name, { prefetch: 0 })
        await eventually('all of them', () => bodies.length === 300)
        deepEqual(bodies, texts(300))
      },
    },
    {
      name: 'shares a queue among its subscriptions, each message to one',
      async run(subject) {
        const name = await subject.declared()
        const { session } = await subject.open()
        const settle = { prefetch: 1, onDelivery: (delivery: { settle(how: 'ack'): unknown }) => void delivery.settle('ack') }
        const all = [await subject.consume(name, settle), await subject.consume(name, settle, session)]
        await subject.send(name, ...texts(100))
        await eventually('all of them', () => all.flatMap(({ bodies }) => bodies).length === 100)
        deepEqual(all.flatMap(({ bodies }) => bodies).toSorted(), texts(100).toSorted())
        for (const { bodies } of all) equal(bodies.length > 0, true, 'one got nothing')
      },
    },
    {
      name: 'gives what one subscription cannot take to another',
      async run(subject) {
        const name = await subject.declared()
        const stuck = await subject.consume(name, { prefetch: 1 })
        const free = await subject.consume(name, { prefetch: 1, onDelivery: (delivery) => void delivery.settle('ack') })
        await subject.send(name, ...texts(20))
        await eventually('the rest', () => free.bodies.length === 19)
        equal(stuck.bodies.length, 1)
      },
    },
    {
      name: 'delivers without acks where asked, and forgets at once',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, ...texts(10))
        const { deliveries } = await subject.consume(name, { noAck: true, prefetch: 1 })
        await eventually('all, whatever the prefetch', () => deliveries.length === 10)
        equal(await deliveries[0]?.settle('requeue'), true)
        await subject.counts(name, { messages: 0 })
        await sleep(QUIET_MS)
        equal(deliveries.length, 10)
      },
    },
    {
      name: 'lets one subscription be alone on its queue where asked',
      async run(subject) {
        const name = await subject.declared()
        const alone = await subject.consume(name, { exclusive: true })
        await rejects(subject.consume(name), /exclusive/)
        await alone.subscription.cancel()
        await subject.consume(name)
        deepEqual(await subject.deaths(), [])
      },
    },
    {
      name: 'says when the broker ends a subscription, and the session lives on',
      async run(subject) {
        const session = await subject.session()
        const [name, other] = [await subject.declared(), await subject.declared()]
        const { cancellations, subscription } = await subject.consume(name)
        const untouched = await subject.consume(other)
        await session.deleteQueue(name)
        await eventually('the end', () => cancellations.length > 0)
        equal(cancellations.length, 1)
        equal(cancellations[0]?.includes(name), true, cancellations[0])
        await subscription.cancel()
        await subject.send(other, 'alive')
        await eventually('the other to go on', () => untouched.bodies.length === 1)
        deepEqual(untouched.cancellations, [])
        deepEqual(await subject.deaths(), [])
      },
    },
    {
      name: 'keeps a queue of its own for each of many subscriptions',
      async run(subject) {
        const names = await Promise.all(Array.from({ length: 20 }, () => subject.declared()))
        const all = await Promise.all(names.map((name) => subject.consume(name, { prefetch: 1 })))
        await Promise.all(names.map((name) => subject.send(name, name)))
        await eventually('one in each', () => all.every(({ bodies }) => bodies.length === 1))
        deepEqual(
          all.map(({ bodies }) => bodies[0]),
          names,
        )
        deepEqual(
          all.map(({ deliveries }) => deliveries[0]?.queue),
          names,
        )
      },
    },
  ],
}
