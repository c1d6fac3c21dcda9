/** Bodies, properties and headers: what Kombu, Pika and py-amqp write we read, and the other way round. */
import { type MessageProperties, type PublishOptions, queue } from 'omnibus'
import { expect, test } from 'vitest'
import { sent as sentToKombu, written as writtenByKombu } from './messages.ts'
import { bytes, type Library, type Told } from './python-peers.ts'
import { onEachBroker, unique } from './world.ts'

const binary = Buffer.from([0, 0xff, 0xfe, 0x80])

/** What a Python client is told to send, what our payload is, and some of our properties. */
type Written = [library: Library, what: string, message: Record<string, unknown>, payload: unknown, properties?: MessageProperties]

const written: Written[] = [
  ...writtenByKombu.map(([what, ...row]): Written => ['kombu', what, ...row]),
  ...(['kombu', 'pika', 'amqp'] as const).map(headersOfEveryType),
  ['pika', 'JSON', { body: { n: 1 }, content_type: 'Application/JSON; charset=utf-8' }, { n: 1 }],
  ['pika', 'bytes without any property', { body: bytes(binary) }, binary, {}],
  [
    'pika',
    'a priority and an expiration',
    { body: bytes('x'), priority: 255, expiration: '1000000' },
    Buffer.from('x'),
    { priority: 255, expirationMs: 1_000_000 },
  ],
  ['amqp', 'a text', { body: bytes('grüße'), content_type: 'text/plain', content_encoding: 'utf-8' }, 'grüße'],
  [
    'amqp',
    'a message of frames',
    { body: bytes(Buffer.alloc(300_000, 7)), content_type: 'application/octet-stream' },
    Buffer.alloc(300_000, 7),
  ],
]

function headersOfEveryType(library: Library): Written {
  const headers = {
    text: 'grüße',
    number: -7,
    big: 2 ** 40,
    yes: true,
    none: null,
    bytes: bytes(binary),
    decimal: { $: 'decimal', value: '3.14' },
    time: { $: 'datetime', value: '2026-01-02T03:04:05+00:00' },
    list: [1, 'two', [3]],
    table: { deep: { er: false } },
    // Pika 1.2 has no number with a fraction.
    ...(library === 'pika' ? {} : { half: 0.5 }),
  }
  const read = {
    ...headers,
    decimal: 3.14,
    time: new Date('2026-01-02T03:04:05Z'),
    // Pika writes bytes as bytes, the others with the letter of a text.
    bytes: binary,
  }
  const name = library === 'amqp' ? 'application_headers' : 'headers'
  const type = library === 'kombu' ? {} : { content_type: 'application/json' }
  return [library, 'headers of every type', { body: {}, [name]: headers, ...type }, {}, { headers: read }]
}

/** What we send, and what a Python client tells of it. */
type Sent = [library: Library, what: string, payload: unknown, options: PublishOptions, told: object]

const sent: Sent[] = [
  ...sentToKombu.map(([what, ...row]): Sent => ['kombu', what, ...row]),
  ...(['kombu', 'pika', 'amqp'] as const).map(ourHeaders),
  ['pika', 'JSON', { n: 1 }, {}, { body: bytes('{"n":1}'), content_type: 'application/json', content_encoding: 'utf-8' }],
  ['amqp', 'a message of frames', Buffer.alloc(300_000, 7), {}, { body: bytes(Buffer.alloc(300_000, 7)) }],
]

function ourHeaders(library: Library): Sent {
  const plain = {
    text: 'grüße',
    number: -7,
    big: 2 ** 40,
    half: 0.5,
    yes: true,
    none: null,
    list: [1, 'two', [3]],
    table: { deep: { er: false } },
  }
  const headers = { ...plain, bytes: binary, time: new Date('2026-01-02T03:04:05Z') }
  // Pika 1.2 drops what is behind the point.
  const told = {
    ...plain,
    ...(library === 'pika' && { half: 0 }),
    bytes: bytes(binary),
    time: { $: 'datetime', value: '2026-01-02T03:04:05' },
  }
  return [library, 'headers of every type', {}, { headers }, { [library === 'amqp' ? 'application_headers' : 'headers']: told }]
}

onEachBroker((world) => {
  test.each(['kombu', 'pika', 'amqp'] as const)('%s writes what we read', async (library) => {
    const cases = written.filter(([name]) => name === library)
    const inbox = queue(unique('formats'), { type: 'classic', expiresMs: 60_000 })
    await world.connection.declare(inbox)
    await world.peers.ask(library, 'publish', { messages: cases.map(([, , message]) => ({ key: inbox.name, ...message })) })
    const got = await world.take(inbox, cases.length)
    for (const [i, [, what, , payload, properties]] of cases.entries()) {
      expect.soft(got[i]?.payload, what).toEqual(payload)
      if (properties) expect.soft(got[i]?.properties, what).toMatchObject(properties)
    }
  })

  test.each(['kombu', 'pika', 'amqp'] as const)('%s reads what we write', async (library) => {
    const cases = sent.filter(([name]) => name === library)
    const inbox = queue(unique('formats'), { type: 'classic' })
    for (const [, , payload, properties] of cases) await world.connection.publish(inbox, payload, properties)
    const got = await world.peers.ask<Told[]>(library, 'consume', { name: inbox.name, count: cases.length })
    for (const [i, [, what, , , told]] of cases.entries()) expect.soft(got[i], what).toMatchObject(told)
    await world.connection.delete(inbox)
  })
})
