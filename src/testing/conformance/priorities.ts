import { deepEqual } from 'node:assert/strict'
import type { Outgoing } from '../../core/message.ts'
import type { ConformanceFamily, ConformanceTest } from './suite.ts'
import { outgoing, textOf } from './subject.ts'

const needs: NonNullable<ConformanceTest['needs']> = { what: 'priorities', has: ({ priorities: has }) => has }

const urgent = (queue: string, body: string, priority?: number): Outgoing =>
  outgoing('', queue, body, { properties: priority === undefined ? {} : { priority } })

export const priorities: ConformanceFamily = {
  name: 'priorities',
  tests: [
    {
      name: 'high before low, in order inside a level, none is the lowest, too high is the highest',
      needs,
      async run(subject) {
        const name = await subject.declared({ maxPriority: 5 })
        await subject.publish([
          urgent(name, 'none'),
          urgent(name, 'low', 1),
          urgent(name, 'high', 5),
          urgent(name, 'zero', 0),
          urgent(name, 'too high', 9),
          urgent(name, 'low too', 1),
          urgent(name, 'middle', 3),
        ])
        deepEqual(await subject.drain(name), ['high', 'too high', 'middle', 'low', 'low too', 'none', 'zero'])
      },
    },
    {
      name: 'a requeued message keeps its priority, and a later, more urgent one still goes first',
      needs,
      async run(subject) {
        const name = await subject.declared({ maxPriority: 5 })
        await subject.publish([urgent(name, 'a', 3), urgent(name, 'b', 3), urgent(name, 'c', 1)])
        const first = await subject.next(name)
        deepEqual(textOf(first), 'a')
        await first.settle('requeue')
        await subject.publish([urgent(name, 'urgent', 5)])
        await subject.counts(name, { messages: 4 })
        deepEqual(await subject.drain(name), ['urgent', 'a', 'b', 'c'])
      },
    },
    {
      name: 'without a maximum, priorities are carried and change nothing',
      needs,
      async run(subject) {
        const name = await subject.declared()
        await subject.publish([urgent(name, 'a', 1), urgent(name, 'b', 9), urgent(name, 'c', 5)])
        deepEqual(await subject.drain(name), ['a', 'b', 'c'])
      },
    },
  ],
}
