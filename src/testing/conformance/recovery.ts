import { deepEqual, equal } from 'node:assert/strict'
import { bind, queue } from '../../core/entities.ts'
import type { Delivery } from '../../core/delivery.ts'
import { eventually } from '../eventually.ts'
import type { ConformanceFamily } from './suite.ts'
import { texts } from './subject.ts'

export const recovery: ConformanceFamily = {
  name: 'recovery through Connection',
  tests: [
    {
      name: 'a subscription goes on after every loss',
      async run(subject) {
        const target = subject.queue()
        const { connection, breakAll } = subject.connect()
        const got: string[] = []
        await connection.consume(target, async (delivery) => {
          got.push(delivery.text())
          await delivery.ack()
        })
        for (let i = 0; i < 5; i++) {
          await connection.publish(target, `m${i}`)
          await eventually(`m${i}`, () => got.includes(`m${i}`))
          equal(breakAll() > 0, true)
        }
        await connection.publish(target, 'last')
        await eventually('the last', () => got.includes('last'))
        deepEqual([...new Set(got)], [...texts(5), 'last'])
      },
    },
    {
      name: 'what was held when the link broke is lost to its holder and comes again',
      async run(subject) {
        const target = subject.queue()
        const { connection, breakAll } = subject.connect()
        const held: Delivery[] = []
        await connection.consume(target, (delivery) => void held.push(delivery))
        await connection.publish(target, 'm')
        await eventually('the delivery', () => held.length === 1)
        breakAll()
        await eventually('it again', () => held.length === 2)
        equal(held[0]?.lost, true)
        equal(await held[0]?.ack(), false)
        equal(held[1]?.redelivered, true)
        equal(await held[1]?.ack(), true)
        await subject.counts(target.name, { messages: 0 })
      },
    },
    {
      name: 'what was not confirmed is sent again: every publish settles, and nothing confirmed is missing',
      async run(subject) {
        const target = subject.queue()
        const { connection, breakAll } = subject.connect()
        await connection.declare(target)
        const publishing = Promise.all(texts(500).map((text) => connection.publish(target, text)))
        await eventually('some to be under way', () => connection.unconfirmed > 0)
        breakAll()
        await publishing
        equal(connection.unconfirmed, 0)
        const there = await subject.drain(target.name)
        deepEqual([...new Set(there)].toSorted(), texts(500).toSorted())
      },
    },
    {
      name: 'a publish while the broker is away waits for it',
      async run(subject) {
        const target = subject.queue()
        const { connection, breakAll, refuse } = subject.connect()
        await connection.declare(target)
        refuse(true)
        breakAll()
        const publishing = connection.publish(target, 'patient')
        await eventually('the connection to be down', () => !connection.connected)
        equal(connection.unconfirmed, 1)
        refuse(false)
        deepEqual(await publishing, { routed: true })
        deepEqual(await subject.drain(target.name), ['patient'])
      },
    },
    {
      name: 'what was declared exists again, with its bindings',
      async run(subject) {
        const source = subject.exchange('topic')
        const target = subject.queue({ bindings: [bind(source, 'a.*')] })
        const { connection, breakAll } = subject.connect()
        await connection.declare(target)
        await (await subject.session()).deleteQueue(target.name)
        breakAll()
        await connection.publish(source, 'a.b', 'found')
        deepEqual(await subject.drain(target.name), ['found'])
      },
    },
    {
      name: 'a server-named queue is made anew and bound again',
      needs: { what: 'exclusive queues', has: ({ exclusiveQueues }) => exclusiveQueues },
      async run(subject) {
        const source = subject.exchange('fanout')
        const { connection, breakAll } = subject.connect()
        const got: string[] = []
        const consumer = await connection.consume(queue('', { bindings: [bind(source)] }), async (delivery) => {
          got.push(delivery.text())
          await delivery.ack()
        })
        await connection.publish(source, '', 'one')
        await eventually('one', () => got.length === 1)
        const before = consumer.queueName
        breakAll()
        await eventually('another queue', () => consumer.subscribed && consumer.queueName !== before)
        await connection.publish(source, '', 'two')
        await eventually('two', () => got.length === 2)
        deepEqual(got, ['one', 'two'])
      },
    },
    {
      name: 'a deleted queue is declared and consumed again',
      async run(subject) {
        const target = subject.queue()
        const cancelled: string[] = []
        const { connection } = subject.connect({ onEvent: (event) => void (event.type === 'cancelled' && cancelled.push(event.queue)) })
        const got: string[] = []
        const consumer = await connection.consume(target, async (delivery) => {
          got.push(delivery.text())
          await delivery.ack()
        })
        await (await subject.session()).deleteQueue(target.name)
        await eventually('the end to be told', () => cancelled.length === 1)
        await eventually('the subscription', () => consumer.subscribed)
        await connection.publish(target, 'again')
        await eventually('the message', () => got.length === 1)
        deepEqual(cancelled, [target.name])
      },
    },
    {
      name: 'close resolves while the broker is away, and when called twice',
      async run(subject) {
        const { connection, breakAll, refuse } = subject.connect()
        await connection.consume(subject.queue(), (delivery) => void delivery.ack())
        await connection.ready()
        refuse(true)
        breakAll()
        await Promise.all([connection.close({ deadlineMs: 1_000 }), connection.close()])
        equal(connection.closed, true)
      },
    },
  ],
}
