import { deepEqual, equal, notEqual, rejects } from 'node:assert/strict'
import { bind, queue } from '../../core/entities.ts'
import { TopologyError } from '../../core/errors.ts'
import type { Session } from '../../core/transport.ts'
import { eventually } from '../eventually.ts'
import { refused } from './declaring.ts'
import type { ConformanceFamily, ConformanceTest } from './suite.ts'
import { outgoing } from './subject.ts'

const exclusive: NonNullable<ConformanceTest['needs']> = { what: 'exclusive queues', has: ({ exclusiveQueues }) => exclusiveQueues }

const isGone = async (session: Session, name: string): Promise<boolean> => {
  try {
    await session.inspect(name)
    return false
  } catch (error) {
    if (error instanceof TopologyError && error.replyCode === 404) return true
    if (error instanceof TopologyError && error.replyCode === 405) return false
    throw error
  }
}

export const lifetimes: ConformanceFamily = {
  name: 'lifetimes',
  tests: [
    {
      name: 'an exclusive queue is for its session alone, and goes with it',
      needs: exclusive,
      async run(subject) {
        const session = await subject.session()
        const { session: owner } = await subject.open()
        const own = subject.queue({ exclusive: true })
        await owner.declareQueue(own)
        equal((await owner.inspect(own.name)).name, own.name)
        await rejects(session.inspect(own.name), refused(405, own.name))
        await rejects(subject.consume(own.name), refused(405, own.name))
        // Publishing to it is open to all: that is how answers arrive.
        await subject.send(own.name, 'answer')
        await owner.close()
        await eventually('it to go', () => isGone(session, own.name))
      },
    },
    {
      name: 'an exclusive queue goes when its session dies',
      needs: exclusive,
      async run(subject) {
        const { session: owner } = await subject.open()
        const own = subject.queue({ exclusive: true })
        await owner.declareQueue(own)
        owner.destroy()
        const session = await subject.session()
        await eventually('it to go', () => isGone(session, own.name))
      },
    },
    {
      name: 'the broker names queues, each differently, and their bindings work',
      needs: exclusive,
      async run(subject) {
        const session = await subject.session()
        const source = subject.exchange('fanout')
        const first = await session.declareQueue(queue('', { bindings: [bind(source)] }))
        const second = await session.declareQueue(queue('', { bindings: [bind(source)] }))
        notEqual(first.name, '')
        notEqual(first.name, second.name)
        await subject.publish([outgoing(source.name, '', 'to both')])
        deepEqual(await subject.drain(first.name), ['to both'])
        deepEqual(await subject.drain(second.name), ['to both'])
      },
    },
    {
      name: 'an auto-delete queue stays without consumers, and goes with its last',
      async run(subject) {
        const session = await subject.session()
        const name = await subject.declared({ autoDelete: true, durable: false })
        const [first, second] = [await subject.consume(name), await subject.consume(name)]
        await first.subscription.cancel()
        await subject.counts(name, { consumers: 1 })
        await second.subscription.cancel()
        await eventually('it to go', () => isGone(session, name))
      },
    },
    {
      name: 'a subscription ends with its session, and the queue counts it no more',
      async run(subject) {
        const name = await subject.declared()
        const { session } = await subject.open()
        await subject.consume(name, {}, session)
        await subject.counts(name, { consumers: 1 })
        await session.close()
        await subject.counts(name, { consumers: 0 })
      },
    },
  ],
}
