import { deepEqual, equal, match } from 'node:assert/strict'
import type { ConformanceFamily } from './suite.ts'
import { confirmed, outgoing, texts, textOf, unrouted } from './subject.ts'

export const publishing: ConformanceFamily = {
  name: 'publishing',
  tests: [
    {
      name: 'delivers the body, the properties and where it came from',
      async run(subject) {
        const source = subject.exchange('direct')
        const target = subject.queue({ bindings: [{ kind: 'binding', exchange: source, routingKey: 'key', arguments: {} }] })
        const session = await subject.session()
        await session.declareQueue(target)
        const properties = {
          contentType: 'application/json',
          contentEncoding: 'utf-8',
          persistent: true,
          priority: 4,
          correlationId: 'c-1',
          replyTo: 'answers',
          messageId: 'id-1',
          timestamp: 1_700_000_000_000,
          type: 'order.created',
          appId: 'shop',
        }
        deepEqual(
          await subject.publish([outgoing(source.name, 'key', '{"a":1}', { properties: { ...properties, headers: { tenant: 'a' } } })]),
          [confirmed],
        )
        const incoming = await subject.next(target.name)
        equal(textOf(incoming), '{"a":1}')
        equal(incoming.exchange, source.name)
        equal(incoming.routingKey, 'key')
        equal(incoming.queue, target.name)
        equal(incoming.redelivered, false)
        // A broker may add headers of its own.
        const { headers, ...got } = incoming.properties
        deepEqual(headers?.['tenant'], 'a')
        for (const [key, value] of Object.entries(properties)) deepEqual(Reflect.get(got, key), value, key)
        equal(await incoming.settle('ack'), true)
      },
    },
    {
      name: 'settles each of a thousand messages in flight once, and keeps their order',
      async run(subject) {
        const name = await subject.declared()
        const results = await subject.send(name, ...texts(1_000))
        equal(results.filter(({ status }) => status === 'confirmed').length, 1_000)
        deepEqual(await subject.drain(name), texts(1_000))
      },
    },
    {
      name: 'keeps the order of several calls under way',
      async run(subject) {
        const name = await subject.declared()
        await Promise.all(texts(50).map((text) => subject.send(name, text)))
        deepEqual(await subject.drain(name), texts(50))
      },
    },
    {
      name: 'tells what no queue got from what one got',
      needs: { what: 'knowledge of routing', has: ({ routedKnown }) => routedKnown },
      async run(subject) {
        const name = await subject.declared()
        const nowhere = subject.unique('nowhere')
        const results = await subject.publish(Array.from({ length: 60 }, (_, i) => outgoing('', i % 3 === 0 ? nowhere : name, 'same')))
        deepEqual(
          results,
          results.map((_, i) => (i % 3 === 0 ? unrouted : confirmed)),
        )
      },
    },
    {
      name: 'refuses what meets a missing exchange, and takes what is around it',
      async run(subject) {
        const name = await subject.declared()
        const missing = subject.unique('missing')
        const results = await subject.publish([
          outgoing('', name, 'a'),
          outgoing(missing, 'key', 'lost'),
          outgoing('', name, 'b'),
          outgoing('', name, 'c'),
        ])
        deepEqual(
          results.map(({ status }) => status),
          ['confirmed', 'refused', 'confirmed', 'confirmed'],
        )
        match('reason' in results[1]! ? results[1].reason : '', new RegExp(missing.replaceAll('.', '\\.')))
        // What was sent again around the refused one may come twice, but is there.
        deepEqual([...new Set(await subject.drain(name))].toSorted(), ['a', 'b', 'c'])
        deepEqual(await subject.deaths(), [])
      },
    },
    {
      name: 'nacks what a full queue refuses, and takes messages again when there is room',
      async run(subject) {
        const name = await subject.declared({ maxLength: 2, overflow: 'reject-publish' })
        const session = await subject.session()
        // A quorum queue lets a few more pass before it says no.
        let taken = 0
        for (let i = 0; i < 50; i++) {
          const [result] = await subject.send(name, `m${i}`)
          if (result?.status === 'confirmed') taken++
          else {
            equal(result?.status, 'nacked')
            break
          }
        }
        equal(taken >= 2 && taken < 50, true, `${taken} were taken`)
        equal((await session.inspect(name)).messages, taken)
        await session.purge(name)
        deepEqual(await subject.send(name, 'room'), [confirmed])
      },
    },
    {
      name: 'drops the oldest where a queue is bounded that way',
      async run(subject) {
        const name = await subject.declared({ maxLength: 3 })
        await subject.send(name, ...texts(10))
        await subject.counts(name, { messages: 3 })
        deepEqual(await subject.drain(name), ['m7', 'm8', 'm9'])
      },
    },
  ],
}
