/** Kombu on the other side of the broker: what it fills a queue with comes to the app, and what the app publishes comes to it. */
import { expect, describe, test } from 'vitest'
import { bytes, startPeers, type Told } from '../interop/python-peers.ts'
import { startQueryFront } from '../support/sqs-query.ts'
import { omnibus } from '../support/omnibus.ts'
import { have } from '../support/packages.ts'
import { freePort } from '../support/ports.ts'
import { hasRedis, sharedRedis } from '../support/shared-redis.ts'
import { sharedSqs } from '../support/shared-sqs.ts'
import { unique } from '../bus/brokers.ts'
import { startTarget, until } from './house.ts'

interface Place {
  readonly name: string
  readonly isThere: boolean
  /** How to publish to a queue that Kombu has declared: Redis holds its bindings, and no empty queue; SQS holds queues alone. */
  readonly bound: boolean
  /** Where it is for us, and where and how for Kombu, as long as the test runs. */
  readonly open: () => Promise<
    { readonly url: string; readonly kombu: string; readonly options?: Record<string, unknown> } & AsyncDisposable
  >
}

const nothing = { [Symbol.asyncDispose]: async (): Promise<void> => undefined }
const places: readonly Place[] = [
  {
    name: 'Redis',
    bound: true,
    isThere: hasRedis() && have('python3-kombu', 'python3-redis', 'python3-pika'),
    open: async () => {
      const url = await sharedRedis()
      return { url, kombu: url, ...nothing }
    },
  },
  {
    name: 'SQS',
    bound: false,
    isThere: have('python3-kombu', 'python3-boto3', 'python3-pycurl', 'python3-pika'),
    open: async () => {
      const url = await sharedSqs()
      const front = await startQueryFront(`http://${new URL(url.replace(/^sqs/, 'http')).host}`)
      const options = { region: 'us-east-1', is_secure: false, wait_time_seconds: 1 }
      return { url, kombu: `sqs://key:secret@${front.host}`, options, [Symbol.asyncDispose]: () => front[Symbol.asyncDispose]() }
    },
  },
]

describe.each(places)('on $name', ({ isThere, bound, open }) => {
  test.runIf(isThere)('Kombu fills the queue, and takes what is published by HTTP', async () => {
    await using place = await open()
    await using peers = await startPeers(place.kombu, place.options)
    const [name, answers] = [unique('filled'), unique('answers')]
    const target = await startTarget()
    const port = await freePort()
    const flags = ['--queue', name, '--queue-type', 'classic', '--to', target.url, '--listen', `127.0.0.1:${port}`]
    await using sidecar = omnibus(['forward', ...flags, '--bus-url', place.url])
    await sidecar.line(`sends ${name} to`)

    const messages = [
      { body: { text: 'hello' }, compression: 'zlib', headers: { tenant: 'a b' } },
      { body: { n: 1 }, serializer: 'json' },
      { body: 'grüße', serializer: 'raw', content_type: 'text/plain', content_encoding: 'utf-8' },
      { body: bytes(Buffer.from([0, 255, 10])), serializer: 'raw', content_type: 'image/x', content_encoding: 'binary' },
    ]
    await peers.ask('kombu', 'publish', { messages: messages.map((message) => ({ key: name, ...message })) })
    await until('all of them', () => target.received.length === messages.length)
    const received = new Map(target.received.map(({ headers, body }) => [body, headers]))
    expect(Object.fromEntries([...received].map(([body, headers]) => [body, headers['content-type']]))).toEqual({
      '{"text": "hello"}': 'application/json',
      '{"n": 1}': 'application/json',
      grüße: 'text/plain',
      [Buffer.from([0, 255, 10]).toString()]: 'image/x',
    })
    expect(received.get('{"text": "hello"}')).toMatchObject({ 'x-bus-tenant': 'a%20b', 'ce-type': name, 'ce-source': name })

    const theirs = { name: answers, ...(bound && { exchange: answers, type: 'direct', key: 'answer' }) }
    const query = bound ? `exchange=${answers}&routing_key=answer` : `routing_key=${answers}`
    await peers.ask('kombu', 'declare', theirs)
    const published = [
      ['application/json', JSON.stringify({ text: 'grüße' }), { text: 'grüße' }],
      ['text/plain', 'grüße', 'grüße'],
      ['image/x', '\0x', { $: 'bytes', value: Buffer.from('\0x').toString('base64') }],
    ] as const
    for (const [type, body] of published) {
      const headers = { 'content-type': type, traceparent: '00-a-b-01' }
      const answer = await fetch(`http://127.0.0.1:${port}/publish?${query}`, {
        method: 'POST',
        headers,
        body,
      })
      expect(answer.status).toBe(202)
    }
    const got = await peers.ask<Told[]>('kombu', 'consume', { ...theirs, count: published.length })
    for (const [type, , body] of published)
      expect(got).toContainEqual(
        expect.objectContaining({ body, content_type: type, headers: expect.objectContaining({ traceparent: '00-a-b-01' }) }),
      )
  })
})
