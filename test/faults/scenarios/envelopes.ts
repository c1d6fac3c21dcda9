/** F26 where messages are texts: envelopes that cannot be read. */
import { expect } from 'vitest'
import { connect, consume, createBus, event, on, queue } from '../../../src/index.ts'
import { waitFor } from '../../support/wait.ts'
import { type Row, type Scale, World } from '../world.ts'
import { nestedJson, sqsClient } from '../foreign.ts'
import type { Reachable } from '../victim.ts'

const Order = event<{ id: string }>('faults.order.v1')

const KOMBU = {
  body: Buffer.from('{"id":"x"}').toString('base64'),
  'content-encoding': 'utf-8',
  'content-type': 'application/json',
  headers: {},
  properties: { delivery_mode: 2, delivery_info: { exchange: '', routing_key: Order.type }, body_encoding: 'base64', delivery_tag: 't' },
}

const envelope = (change: object, properties: object = {}): string =>
  JSON.stringify({ ...KOMBU, ...change, properties: { ...KOMBU.properties, ...properties } })

const random = (below: number): number => Math.floor(Math.random() * below)

const kinds: readonly (() => string)[] = [
  () => envelope({}).slice(0, 8 + random(envelope({}).length - 9)),
  () => envelope({ body: '{"id":"x"}' }),
  () => envelope({ body: KOMBU.body.slice(0, -1 - random(2)) }),
  () => envelope({ body: null }),
  () => envelope({ body: '\ud800' }, { body_encoding: 'utf-8' }),
  () => envelope({}, { body_encoding: 'rot13' }),
  () => envelope({}, { delivery_info: { exchange: '' } }),
  () => envelope({}, { delivery_info: [] }),
  () => envelope({}, { delivery_tag: {} }),
  () => envelope({ headers: 'none' }),
  () => envelope({ headers: { at: { __type__: 'datetime', __value__: 'never' } } }),
  () => `{"body":${nestedJson(20_000)}}`,
]

/** Each is put into the queue as it is, half of them in base64 once more; each ends in the dead letters, and says why. */
export async function brokenEnvelopes(victim: Reachable, scale: Scale): Promise<Row> {
  const count = scale === 'long' ? 10_000 : 120
  await using world = new World(victim.url)
  const work = queue(world.queue.name, { type: 'classic' })
  const handled: string[] = []
  const bus = createBus({ url: victim.url, onEvent: () => undefined })
  const connection = connect(victim.url, { deadlineMs: 60_000 })
  const sqs = sqsClient(victim.url)
  try {
    await bus.consume(
      consume(
        work,
        { concurrency: 20 },
        on(Order, ({ data }) => void handled.push(data.id)),
      ),
    )
    const { QueueUrl } = await sqs.getQueueUrl({ QueueName: work.name.replaceAll('.', '-') })
    for (let from = 0; from < count; from += 10) {
      const Entries = Array.from({ length: 10 }, (_, n) => {
        const text = kinds[(from + n) % kinds.length]!()
        return { Id: String(n), MessageBody: n % 2 === 0 ? Buffer.from(text).toString('base64') : text }
      })
      const { Failed } = await sqs.sendMessageBatch({ QueueUrl, Entries })
      expect(Failed ?? []).toEqual([])
    }
    const dead = `${work.name}.dlq`
    await waitFor(async () => (await connection.inspect(dead)).messages === count, {
      what: `${count} dead letters`,
      deadlineMs: 100_000,
      everyMs: 100,
    })
    await connection.publish('', work.name, { id: 'good' }, { type: Order.type })
    await waitFor(() => handled.includes('good'), { what: 'the consumer to be well' })
    const reasons = new Map<string, number>()
    for (let letter = await connection.get(dead); letter; letter = await connection.get(dead)) {
      const reason = String(letter.properties.headers?.['omnibus-dead-reason'])
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
      await letter.ack()
    }
    const named = [...reasons].filter(([reason]) => /envelope|holds a "datetime"/.test(reason))
    expect(named.reduce((sum, [, times]) => sum + times, 0)).toBe(count)
    expect(handled).toEqual(['good'])
    return {
      did: `${count} envelopes of ${kinds.length} broken kinds`,
      seen: `${count} dead letters, each saying what is wrong with the envelope; 0 crashes, and the consumer handled the next good one`,
    }
  } finally {
    sqs.destroy()
    await bus.close()
    await connection.delete(work.name)
    await connection.delete(`${work.name}.dlq`)
    await connection.close()
  }
}
