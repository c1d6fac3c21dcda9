import { deepEqual, equal, rejects } from 'node:assert/strict'
import type { PublishResult } from '../../core/message.ts'
import { eventually } from '../eventually.ts'
import type { ConformanceFamily } from './suite.ts'
import { outgoing, publishOn, texts } from './subject.ts'

export const closing: ConformanceFamily = {
  name: 'closing and concurrency',
  tests: [
    {
      name: 'close may be called twice, together, and after destroy; nothing of it is a death',
      async run(subject) {
        const { session, deaths } = await subject.open()
        await Promise.all([session.close(), session.close()])
        await session.close()
        session.destroy()
        const other = await subject.open()
        other.session.destroy()
        other.session.destroy()
        await other.session.close()
        deepEqual([...deaths, ...other.deaths], [])
      },
    },
    {
      name: 'a closed session takes nothing more and delivers nothing more',
      async run(subject) {
        const name = await subject.declared()
        const { session } = await subject.open()
        const { deliveries } = await subject.consume(name, {}, session)
        await session.close()
        await rejects(session.inspect(name))
        await rejects(session.get(name))
        await rejects(session.declareQueue(subject.queue()))
        const results: PublishResult[] = []
        session.publish([outgoing('', name, 'late')], (_, result) => void results.push(result))
        await subject.send(name, 'for others')
        await subject.counts(name, { messages: 1 })
        deepEqual(
          results.filter(({ status }) => status === 'confirmed'),
          [],
        )
        equal(deliveries.length, 0)
      },
    },
    {
      name: 'close while publishing: what was confirmed is there, once, and each settles at most once',
      async run(subject) {
        const name = await subject.declared()
        const { session } = await subject.open()
        const messages = texts(300).map((text) => outgoing('', name, text))
        const confirmedOnes: string[] = []
        session.publish(messages, (message, { status }) => {
          if (status === 'confirmed') confirmedOnes.push(Buffer.from(message.body).toString())
        })
        await session.close()
        const counted = confirmedOnes.length
        const there = await subject.drain(name)
        equal(new Set(confirmedOnes).size, counted)
        deepEqual(
          confirmedOnes.filter((text) => !there.includes(text)),
          [],
        )
        equal(new Set(there).size, there.length)
        equal(confirmedOnes.length, counted, 'confirmed after close had resolved')
      },
    },
    {
      name: 'many sessions are opened and used together',
      async run(subject) {
        const name = await subject.declared()
        const opened = await Promise.all(Array.from({ length: 10 }, () => subject.open()))
        await Promise.all(opened.map(({ session }, i) => publishOn(session, [outgoing('', name, `m${i}`)])))
        deepEqual((await subject.drain(name)).toSorted(), texts(10).toSorted())
      },
    },
    {
      name: 'opening that is given up leaves nothing open',
      async run(subject) {
        await rejects(subject.open(AbortSignal.abort(new Error('given up'))))
        const { session } = await subject.open()
        await session.close()
      },
    },
    {
      name: 'says when it last heard of the broker',
      async run(subject) {
        const name = await subject.declared()
        const session = await subject.session()
        const before = session.lastHeardAt
        await session.inspect(name)
        equal(session.lastHeardAt >= before && session.lastHeardAt <= performance.now(), true)
      },
    },
    {
      name: 'one session publishes, consumes, declares and fetches at the same time',
      async run(subject) {
        const [name, other] = [await subject.declared(), await subject.declared()]
        const session = await subject.session()
        const { bodies } = await subject.consume(name, { prefetch: 5, onDelivery: (delivery) => void delivery.settle('ack') })
        await Promise.all([
          ...texts(100).map((text) => subject.send(name, text)),
          ...texts(20).map(() => subject.declared()),
          ...texts(20).map(() => session.get(other)),
          ...texts(20).map(() => session.inspect(other)),
        ])
        await eventually('all deliveries', () => bodies.length === 100)
        deepEqual(bodies, texts(100))
      },
    },
  ],
}
