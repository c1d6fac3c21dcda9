import { deepEqual, equal } from 'node:assert/strict'
import { bind } from '../../core/entities.ts'
import type { Headers } from '../../core/message.ts'
import type { ConformanceFamily } from './suite.ts'
import { confirmed, outgoing } from './subject.ts'

/** Around the limits of an AMQP frame of 128 KiB, whose own eight bytes count. */
const SIZES = [0, 1, 255, 4_096, 131_072 - 9, 131_072 - 8, 131_072 - 7, 131_072, 262_144, 1_000_000, 4_000_000]

const HEADERS: Headers = {
  text: 'Grüße, 世界 🎬',
  empty: '',
  yes: true,
  no: false,
  nothing: null,
  small: 1,
  negative: -7,
  large: 2 ** 40,
  // Beyond what a double holds.
  huge: 9_007_199_254_740_993n,
  fraction: 0.1,
  at: new Date(1_700_000_000_000),
  list: [1, 'two', false, null],
  table: { deep: { deeper: ['x'] } },
  long: 'x'.repeat(5_000),
}

export const bodies: ConformanceFamily = {
  name: 'bodies and headers',
  tests: [
    {
      name: 'carries bodies of any size, to the byte',
      async run(subject) {
        const name = await subject.declared()
        const all = SIZES.map((size) => Buffer.from(Array.from({ length: Math.min(size, 256) }, (_, i) => i)))
        const sent = SIZES.map((size, i) => Buffer.alloc(size, all[i]!.byteLength > 0 ? all[i] : 0))
        deepEqual(
          await subject.publish(sent.map((body) => outgoing('', name, body))),
          sent.map(() => confirmed),
        )
        for (const body of sent) {
          const incoming = await subject.next(name)
          equal(incoming.body.byteLength, body.byteLength)
          equal(body.equals(incoming.body), true, `a body of ${body.byteLength} bytes is not what was sent`)
          await incoming.settle('ack')
        }
      },
    },
    {
      name: 'delivers large bodies among small ones, whole and in order',
      async run(subject) {
        const name = await subject.declared()
        const sent = Array.from({ length: 40 }, (_, i) => Buffer.alloc(i % 4 === 0 ? 300_000 : i, i))
        const got: Buffer[] = []
        await subject.consume(name, {
          prefetch: 4,
          onDelivery: (delivery) => {
            got.push(Buffer.from(delivery.body))
            void delivery.settle('ack')
          },
        })
        await subject.publish(sent.map((body) => outgoing('', name, body)))
        await subject.counts(name, { messages: 0 })
        deepEqual(
          got.map((body, i) => body.equals(sent[i]!)),
          sent.map(() => true),
        )
      },
    },
    {
      name: 'carries headers of every kind',
      async run(subject) {
        const name = await subject.declared()
        await subject.publish([outgoing('', name, 'm', { properties: { headers: HEADERS } })])
        const { properties } = await subject.next(name)
        // Cloned, because a table that was read may have no prototype.
        const headers = structuredClone(properties.headers)
        for (const [key, value] of Object.entries(HEADERS)) deepEqual(headers?.[key], value, key)
      },
    },
    {
      name: 'carries bytes in headers',
      async run(subject) {
        const name = await subject.declared()
        await subject.publish([outgoing('', name, 'm', { properties: { headers: { raw: Uint8Array.of(0, 255, 10) } } })])
        const { properties } = await subject.next(name)
        deepEqual(Buffer.from(properties.headers?.['raw'] as Uint8Array), Buffer.of(0, 255, 10))
      },
    },
    {
      name: 'carries a message without properties, and empty ones',
      async run(subject) {
        const name = await subject.declared()
        await subject.publish([
          outgoing('', name, ''),
          outgoing('', name, '', { properties: { contentType: '', messageId: '', headers: {} } }),
        ])
        const plain = await subject.next(name)
        equal(plain.body.byteLength, 0)
        equal(plain.properties.contentType, undefined)
        const empty = await subject.next(name)
        equal(empty.properties.contentType, '')
        equal(empty.properties.messageId, '')
      },
    },
    {
      name: 'takes names and keys of 255 bytes and of other alphabets',
      async run(subject) {
        const session = await subject.session()
        const source = subject.exchange('direct')
        const keys = ['é'.repeat(127), 'очередь.世界.🎬', ' spaced key ', 'x'.repeat(255)]
        const target = subject.queue({ bindings: keys.map((key) => bind(source, key)) })
        await session.declareQueue(target)
        await subject.publish(keys.map((key) => outgoing(source.name, key, key)))
        deepEqual(await subject.drain(target.name), keys)
      },
    },
    {
      name: 'does not change a body that its publisher changes after publish returned and settled',
      async run(subject) {
        const name = await subject.declared()
        const body = Buffer.from('before')
        await subject.publish([{ ...outgoing('', name, ''), body }])
        body.write('after!')
        deepEqual(await subject.drain(name), ['before'])
      },
    },
  ],
}
