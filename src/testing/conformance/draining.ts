import { deepEqual, equal } from 'node:assert/strict'
import { eventually } from '../eventually.ts'
import type { ConformanceFamily } from './suite.ts'
import { texts } from './subject.ts'

export const draining: ConformanceFamily = {
  name: 'draining',
  tests: [
    {
      name: 'cancel ends deliveries, and what is held stays settleable',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, ...texts(10))
        const { deliveries, subscription, cancellations } = await subject.consume(name, { prefetch: 4 })
        await eventually('the prefetch to fill', () => deliveries.length === 4)
        await subscription.cancel()
        await subject.counts(name, { messages: 6, consumers: 0 })
        for (const delivery of deliveries) equal(await delivery.settle('ack'), true)
        await subject.counts(name, { messages: 6 })
        equal(deliveries.length, 4)
        deepEqual(cancellations, [])
        deepEqual(await subject.drain(name), texts(10).slice(4))
      },
    },
    {
      name: 'cancel may be called twice, together, after the queue is gone and after the session died',
      async run(subject) {
        const session = await subject.session()
        const name = await subject.declared()
        const first = await subject.consume(name)
        await Promise.all([first.subscription.cancel(), first.subscription.cancel()])
        await first.subscription.cancel()
        const second = await subject.consume(name)
        await session.deleteQueue(name)
        await second.subscription.cancel()
        const { session: dying } = await subject.open()
        const other = await subject.declared()
        const third = await subject.consume(other, {}, dying)
        dying.destroy()
        await third.subscription.cancel()
        deepEqual(await subject.deaths(), [])
      },
    },
    {
      name: 'cancel while deliveries pour in loses none and brings none later',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, ...texts(500))
        const { deliveries, subscription } = await subject.consume(name, { prefetch: 0 })
        await eventually('the first', () => deliveries.length > 0)
        await subscription.cancel()
        const held = deliveries.length
        await subject.send(name, 'late')
        for (const delivery of deliveries) await delivery.settle('requeue')
        await subject.counts(name, { messages: 501 })
        equal(deliveries.length, held)
        deepEqual((await subject.drain(name)).toSorted(), [...texts(500), 'late'].toSorted())
      },
    },
    {
      name: 'a subscription that follows a cancelled one gets what is left',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, 'a', 'b')
        const first = await subject.consume(name, { prefetch: 1 })
        await eventually('a', () => first.bodies.length === 1)
        await first.subscription.cancel()
        const second = await subject.consume(name)
        await eventually('b', () => second.bodies.length === 1)
        await first.deliveries[0]?.settle('release')
        await eventually('a again', () => second.bodies.length === 2)
        deepEqual(second.bodies, ['b', 'a'])
      },
    },
  ],
}
