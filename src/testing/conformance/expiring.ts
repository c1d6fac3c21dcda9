import { deepEqual, equal, fail } from 'node:assert/strict'
import { sleep } from '../../core/clock.ts'
import { bind } from '../../core/entities.ts'
import { eventually } from '../eventually.ts'
import { refused } from './declaring.ts'
import type { ConformanceFamily, ConformanceTest } from './suite.ts'
import { outgoing, textOf } from './subject.ts'

const ttl: NonNullable<ConformanceTest['needs']> = { what: 'time to live', has: ({ messageTtl }) => messageTtl }
const deadLetters: NonNullable<ConformanceTest['needs']> = {
  what: 'dead letter exchange',
  has: ({ deadLetterExchange }) => deadLetterExchange,
}
const both: NonNullable<ConformanceTest['needs']> = {
  what: 'time to live with dead letters',
  has: (capabilities) => capabilities.messageTtl && capabilities.deadLetterExchange,
}

export const expiring: ConformanceFamily = {
  name: 'expiry and dead letters',
  tests: [
    {
      name: 'drops a message when its own time is over, and keeps one without',
      needs: ttl,
      async run(subject) {
        const name = await subject.declared()
        await subject.publish([outgoing('', name, 'short', { properties: { expirationMs: 50 } }), outgoing('', name, 'kept')])
        await subject.counts(name, { messages: 1 })
        deepEqual(await subject.drain(name), ['kept'])
      },
    },
    {
      name: "drops messages when their queue's time is over",
      needs: ttl,
      async run(subject) {
        const name = await subject.declared({ messageTtlMs: 50 })
        await subject.send(name, 'a', 'b')
        await subject.counts(name, { messages: 0 })
        deepEqual(await subject.drain(name), [])
      },
    },
    {
      name: 'lets a message that is held outlive its time',
      needs: ttl,
      async run(subject) {
        const name = await subject.declared({ messageTtlMs: 300 })
        await subject.send(name, 'held')
        const held = await subject.next(name)
        await subject.send(name, 'waiting')
        await subject.counts(name, { messages: 0 })
        equal(await held.settle('ack'), true)
      },
    },
    {
      name: 'moves what expired to the dead letter exchange, with its key',
      needs: both,
      async run(subject) {
        const session = await subject.session()
        const graveyard = subject.exchange('direct')
        const live = subject.queue({ messageTtlMs: 50, deadLetterExchange: graveyard })
        const dead = subject.queue({ bindings: [bind(graveyard, live.name)] })
        await session.declareQueue(dead)
        await session.declareQueue(live)
        await subject.publish([outgoing('', live.name, 'm', { properties: { messageId: 'id', headers: { own: 'header' } } })])
        const letter = await subject.next(dead.name)
        equal(textOf(letter), 'm')
        equal(letter.exchange, graveyard.name)
        equal(letter.routingKey, live.name)
        equal(letter.properties.messageId, 'id')
        equal(letter.properties.headers?.['own'], 'header')
      },
    },
    {
      name: 'moves what is rejected, and not what is acked or requeued, under the key the queue names',
      needs: deadLetters,
      async run(subject) {
        const dead = await subject.declared()
        const live = await subject.declared({ deadLetterExchange: '', deadLetterRoutingKey: dead })
        await subject.send(live, 'acked')
        await (await subject.next(live)).settle('requeue')
        await (await subject.next(live)).settle('ack')
        await subject.send(live, 'rejected')
        await (await subject.next(live)).settle('reject')
        equal(textOf(await subject.next(dead)), 'rejected')
        await subject.counts(dead, { messages: 0 })
        await subject.counts(live, { messages: 0 })
      },
    },
    {
      name: 'moves what a bounded queue drops',
      needs: deadLetters,
      async run(subject) {
        const dead = await subject.declared()
        const live = await subject.declared({ maxLength: 1, deadLetterExchange: '', deadLetterRoutingKey: dead })
        await subject.send(live, 'first', 'second')
        equal(textOf(await subject.next(dead)), 'first')
        deepEqual(await subject.drain(live), ['second'])
      },
    },
    {
      name: 'brings a message back from a waiting queue, which is how retries wait',
      needs: both,
      async run(subject) {
        const live = await subject.declared()
        const waiting = await subject.declared({ messageTtlMs: 50, deadLetterExchange: '', deadLetterRoutingKey: live })
        const { bodies } = await subject.consume(live)
        await subject.send(waiting, 'later')
        await eventually('it to come back', () => bodies.length === 1)
        deepEqual(bodies, ['later'])
      },
    },
    {
      name: 'deletes a queue that nobody has used for its time',
      async run(subject) {
        const session = await subject.session()
        const name = await subject.declared({ expiresMs: 300 })
        // To look is to use it: each look waits longer than the queue lives.
        for (let looks = 0; looks < 10; looks++) {
          await sleep(1_000)
          const gone = await session.inspect(name).then(() => false, refused(404, name))
          if (gone) return
        }
        fail('the queue is still there')
      },
    },
  ],
}
