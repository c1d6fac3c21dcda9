import { deepEqual, equal } from 'node:assert/strict'
import type { ConformanceFamily } from './suite.ts'
import { texts, textOf } from './subject.ts'

export const getting: ConformanceFamily = {
  name: 'getting',
  tests: [
    {
      name: 'takes one at a time, in order, and nothing from an empty queue',
      async run(subject) {
        const session = await subject.session()
        const name = await subject.declared()
        equal(await session.get(name), undefined)
        await subject.send(name, 'a', 'b')
        const [a, b] = [await subject.next(name), await subject.next(name)]
        deepEqual([textOf(a), textOf(b)], ['a', 'b'])
        equal(await session.get(name), undefined)
        equal(await a.settle('ack'), true)
        equal(await b.settle('reject'), true)
        await subject.counts(name, { messages: 0 })
      },
    },
    {
      name: 'hides what is held from others, and shows what is given back',
      async run(subject) {
        const name = await subject.declared()
        const { session } = await subject.open()
        await subject.send(name, 'm')
        const held = await subject.next(name)
        equal(await session.get(name), undefined)
        equal(await held.settle('requeue'), true)
        const again = await subject.next(name, session)
        equal(again.redelivered, true)
        await again.settle('ack')
      },
    },
    {
      name: 'asked for several at once, gives each its own',
      async run(subject) {
        const session = await subject.session()
        const name = await subject.declared()
        await subject.send(name, ...texts(10))
        const got = await Promise.all(texts(12).map(() => session.get(name)))
        deepEqual(got.flatMap((incoming) => (incoming ? [textOf(incoming)] : [])).toSorted(), texts(10).toSorted())
        for (const incoming of got) await incoming?.settle('ack')
        await subject.counts(name, { messages: 0 })
      },
    },
  ],
}
