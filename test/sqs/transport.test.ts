/** What SQS does that no other broker does, on an emulator; what one cannot show is answered by the gate in front of it. */
import { setTimeout as pause } from 'node:timers/promises'
import { SQS } from '@aws-sdk/client-sqs'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type Connection, type ConnectionOptions, type Delivery, type Queue, bind, connect, exchange, queue } from '../../src/index.ts'
import { systemClock } from '../../src/core/clock.ts'
import { Connection as OwnConnection } from '../../src/core/connection.ts'
import { createSqsTransport } from '../../src/transports/sqs/index.ts'
import { bindingTags } from '../../src/transports/sqs/tags.ts'
import { type SqsEmulator, startSqs } from '../support/sqs.ts'
import { waitFor } from '../support/wait.ts'
import { type Gate, openGate } from './gate.ts'

let emulator: SqsEmulator
let gate: Gate
/** Another team's client. */
let other: SQS

beforeAll(async () => {
  emulator = await startSqs()
  gate = await openGate(emulator.endpoint)
  other = new SQS({ endpoint: emulator.endpoint, region: 'us-east-1', credentials: { accessKeyId: 'key', secretAccessKey: 'secret' } })
})
afterAll(async () => {
  other.destroy()
  await gate[Symbol.asyncDispose]()
  await emulator[Symbol.asyncDispose]()
})

let count = 0
const unique = (name: string): string => `${name}-${++count}`

/** With its own knowledge of bindings, as another process has it. */
function connection(parameters = '', options: ConnectionOptions = {}): Connection {
  const transport = createSqsTransport()
  const url = new URL(`sqs://key:secret@${gate.host}/?wait_time_seconds=0&polling_interval=0.02&${parameters}`)
  const opened = new OwnConnection([url], async () => transport, options)
  onTestFinished(() => opened.close({ deadlineMs: 1_000 }))
  return opened
}

/** What comes, acked. */
async function consuming(on: Connection, from: Queue | string, handler: (delivery: Delivery) => unknown = (delivery) => delivery.ack()) {
  const seen: Delivery[] = []
  const consumer = await on.consume(typeof from === 'string' ? queue(from) : from, async (delivery) => {
    seen.push(delivery)
    await handler(delivery)
  })
  return { seen, consumer, texts: () => seen.map((delivery) => delivery.text()) }
}

const urlOf = async (name: string): Promise<string> => (await other.getQueueUrl({ QueueName: name })).QueueUrl!

const held = (name: string) => emulator.server.inspectQueue(name)!.messages

describe('bindings', () => {
  it('are found by a process that has not declared them, also those that are made later', async () => {
    const news = exchange(unique('news'), { type: 'topic' })
    const [first, second] = [unique('first'), unique('second')]
    const [here, there] = [connection(), connection()]
    await there.declare(queue(first, { bindings: [bind(news, 'a.*')] }))
    await here.publish(news.name, 'a.b', 'one')
    expect((await there.get(first))?.payload).toBe('one')
    // Nobody gets this one: that is looked into at once.
    await expect(here.publish(news.name, 'c', 'lost')).rejects.toThrow('could not be routed')
    await pause(1_100)
    await there.declare(queue(second, { bindings: [bind(news, '#')] }))
    await here.publish(news.name, 'c', 'two')
    expect((await there.get(second))?.payload).toBe('two')
  })

  it.each<[string, number, (here: Connection, name: string) => Promise<unknown>]>([
    ['looked up before it had them', 0, (here, name) => here.inspect(name)],
    ['read before it had them, ten seconds ago', 10_001, (here) => here.publish('none', 'k', 'm').catch(() => undefined)],
  ])('are found on a queue that was %s', async (_, laterMs, look) => {
    let aheadMs = 0
    const transport = createSqsTransport({ ...systemClock, monotonic: () => systemClock.monotonic() + aheadMs })
    const here = new OwnConnection([new URL(emulator.url)], async () => transport)
    onTestFinished(() => here.close({ deadlineMs: 1_000 }))
    const [name, news] = [unique('early'), exchange(unique('news'), { type: 'topic' })]
    await other.createQueue({ QueueName: name })
    await look(here, name)
    await connection().declare(queue(name, { bindings: [bind(news, 'k')] }))
    aheadMs += laterMs
    expect(await here.publish(news.name, 'k', 'm')).toEqual({ routed: true })
  })

  it('that cannot be written hold for the process that declares them', async () => {
    gate.refuse('TagQueue', { status: 403, type: 'AccessDeniedException', message: 'no tags for you' })
    onTestFinished(() => gate.refuse('TagQueue', undefined))
    const news = exchange(unique('news'), { type: 'fanout' })
    const name = unique('untagged')
    await other.createQueue({ QueueName: name })
    const here = connection()
    await here.declare(queue(name, { bindings: [bind(news)] }))
    expect(await here.publish(news, '', 'm')).toEqual({ routed: true })
    expect((await here.get(name))?.payload).toBe('m')
  })

  it('fill the tags of a queue, and more are refused by name', async () => {
    const news = exchange(unique('news'))
    const many = Array.from({ length: 60 }, (_, i) => bind(news, `key ${i}`))
    await expect(connection().declare(queue(unique('many'), { bindings: many }))).rejects.toMatchObject({
      replyCode: 406,
      message: expect.stringContaining('SQS keeps 50 tags'),
    })
  })

  it('leave a queue that others have made, with its attributes and tags, as it is', async () => {
    const name = unique('kombus')
    await other.createQueue({ QueueName: name, Attributes: { VisibilityTimeout: '77' }, tags: { team: 'python' } })
    await connection().declare(queue(name, { bindings: [bind(exchange('news'), 'k')] }))
    const { Attributes: attributes } = await other.getQueueAttributes({ QueueUrl: await urlOf(name), AttributeNames: ['All'] })
    expect(attributes).toMatchObject({ VisibilityTimeout: '77' })
    expect((await other.listQueueTags({ QueueUrl: await urlOf(name) })).Tags).toMatchObject({ team: 'python' })
  })
})

describe('exclusive queues', () => {
  const owned = (until: number) => ({ 'omnibus:owner': 'somebody', 'omnibus:until': String(until) })

  it('are deleted by whoever finds them when their owner is gone, and not before', async () => {
    const news = exchange(unique('news'), { type: 'fanout' })
    const [dead, alive] = [unique('dead'), unique('alive')]
    await other.createQueue({ QueueName: dead, tags: owned(Date.now() - 61_000) })
    await other.createQueue({
      QueueName: alive,
      tags: {
        ...owned(Date.now() + 120_000),
        ...bindingTags(alive, { exchange: news.name, type: 'fanout', routingKey: '', arguments: {} }),
      },
    })
    const here = connection()
    expect(await here.publish(news.name, '', 'm')).toEqual({ routed: true })
    expect(emulator.server.inspectQueue(dead)).toBeUndefined()
    expect(held(alive).ready).toHaveLength(1)
    await expect(here.get(alive)).rejects.toMatchObject({ replyCode: 405 })
  })

  it('go with the process that made them, and are renewed until then', async () => {
    const here = connection()
    const name = (await consuming(here, '')).consumer.queueName
    const { Tags: tags } = await other.listQueueTags({ QueueUrl: await urlOf(name) })
    expect(Number(tags?.['omnibus:until'])).toBeGreaterThan(Date.now() + 60_000)
    await here.close()
    expect(emulator.server.inspectQueue(name)).toBeUndefined()
  })

  it("are never made of a queue that is everybody's", async () => {
    const name = unique('shared')
    const here = connection()
    await here.declare(queue(name))
    await expect(here.consume(queue(name, { exclusive: true }), () => undefined)).rejects.toMatchObject({
      replyCode: 406,
      argument: 'exclusive',
    })
  })
})

describe('FIFO queues', () => {
  it('keep the order of each group, and drop what is sent twice', async () => {
    const orders = queue(`${unique('orders')}.fifo`)
    const on = connection()
    await on.declare(orders)
    for (const [n, group] of ['a', 'b', 'a', 'b'].entries())
      await on.publish(orders, n, { messageId: `m${n}`, headers: { MessageGroupId: group } })
    await on.publish(orders, 0, { messageId: 'm0', headers: { MessageGroupId: 'a' } })
    const { seen } = await consuming(on, orders.name)
    await waitFor(() => seen.length === 4, { what: 'all four' })
    const inGroup = (group: string) => seen.filter(({ properties }) => properties.headers?.['MessageGroupId'] === group)
    expect(inGroup('a').map(({ payload }) => payload)).toEqual([0, 2])
    expect(inGroup('b').map(({ payload }) => payload)).toEqual([1, 3])
  })

  it('hold a group up while a message of it waits', async () => {
    const orders = queue(`${unique('orders')}.fifo`)
    const on = connection()
    await on.declare(orders)
    await on.publish(orders, 'later', { headers: { DelaySeconds: 1 } })
    await on.publish(orders, 'next')
    const { texts } = await consuming(on, orders.name)
    await waitFor(() => texts().length === 2, { what: 'both' })
    expect(texts()).toEqual(['later', 'next'])
  })
})

describe('dead letters', () => {
  it('go where the redrive policy leads, as they came', async () => {
    const [name, grave] = [unique('orders'), unique('grave')]
    await other.createQueue({ QueueName: grave })
    const { Attributes: attributes } = await other.getQueueAttributes({ QueueUrl: await urlOf(grave), AttributeNames: ['QueueArn'] })
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: attributes!.QueueArn, maxReceiveCount: 5 })
    const on = connection()
    await on.declare(queue(name, { arguments: { 'sqs-attributes': { RedrivePolicy } } }))
    await other.sendMessage({ QueueUrl: await urlOf(name), MessageBody: 'poison' })
    expect(await (await on.get(name))!.reject()).toBe(true)
    const { Messages: [letter] = [] } = await other.receiveMessage({ QueueUrl: await urlOf(grave) })
    expect(letter?.Body).toBe('poison')
    expect((await on.inspect(name)).messages).toBe(0)
  })

  it('stay where they are until their copy is taken', async () => {
    const [name, grave] = [unique('orders'), unique('grave')]
    const on = connection('lease_seconds=2')
    await on.declare(queue(grave), queue(name, { deadLetterExchange: '', deadLetterRoutingKey: grave }))
    await on.publish('', name, 'm')
    gate.refuse('SendMessageBatch', { status: 403, type: 'AccessDenied', message: 'not there' })
    onTestFinished(() => gate.refuse('SendMessageBatch', undefined))
    expect(await (await on.get(name))!.reject()).toBe(false)
    gate.refuse('SendMessageBatch', undefined)
    const again = await waitFor(() => on.get(name), { what: 'the message, when its lease is over' })
    expect(again.deliveryCount).toBe(1)
    expect(await again.reject()).toBe(true)
    expect((await on.get(grave))?.payload).toBe('m')
  })

  it.each([
    ['denied', { status: 403, type: 'AccessDenied', message: 'not for you' }],
    ['throttled', { status: 400, type: 'RequestThrottled', message: 'not now' }],
  ])('stay where they are where it cannot be told where they lead: %s', async (_, refusal) => {
    const [name, grave] = [unique('orders'), unique('grave')]
    await connection().declare(queue(grave))
    const on = connection('lease_seconds=2')
    await on.declare(queue(name, { deadLetterExchange: '', deadLetterRoutingKey: grave }))
    await on.publish('', name, 'm')
    const delivery = await on.get(name)
    gate.refuse('GetQueueUrl', refusal)
    onTestFinished(() => gate.refuse('GetQueueUrl', undefined))
    expect(await delivery?.reject()).toBe(false)
    expect(held(name).inflight).toHaveLength(1)
  })

  it('are made of messages whose own time is over when they are received', async () => {
    const [name, grave] = [unique('orders'), unique('grave')]
    const orders = queue(name, { deadLetterExchange: '', deadLetterRoutingKey: grave })
    const on = connection()
    await on.declare(queue(grave), orders)
    await on.publish('', name, 'old', { expirationMs: 1 })
    await on.publish('', name, 'young', { expirationMs: 60_000 })
    await pause(5)
    const { texts } = await consuming(on, orders)
    await waitFor(() => texts().length === 1, { what: 'the young one' })
    expect(texts()).toEqual(['young'])
    const letter = await waitFor(() => on.get(grave), { what: 'the old one' })
    expect(letter.payload).toBe('old')
    expect(letter.properties.expirationMs).toBeUndefined()
  })
})

describe('leases', () => {
  it('are renewed while a handler runs, so that it runs once', async () => {
    const name = unique('slow')
    const on = connection('lease_seconds=2')
    await on.declare(queue(name))
    await on.publish('', name, 'm')
    const { seen } = await consuming(on, name, async (delivery) => {
      await pause(3_500)
      await delivery.ack()
    })
    await waitFor(() => held(name).inflight.length === 1, { what: 'the message to be held' })
    await waitFor(() => held(name).inflight.length === 0 && held(name).ready.length === 0, { what: 'it to be done' })
    expect(seen).toHaveLength(1)
  })

  it('are given back when the consumer stops', async () => {
    const name = unique('stopped')
    const on = connection()
    await on.declare(queue(name))
    const { seen, consumer } = await consuming(on, name, () => undefined)
    await on.publish('', name, 'm')
    await waitFor(() => seen.length === 1, { what: 'the message' })
    expect(await consumer.stop({ deadlineMs: 0 })).toBe(1)
    await waitFor(() => held(name).ready.length === 1, { what: 'it to be there for others' })
  })
})

describe('long polls', () => {
  it('bring a message at once, and end with their consumer', async () => {
    const name = unique('polled')
    const on = connect(`sqs://key:secret@${gate.host}/?wait_time_seconds=1`)
    onTestFinished(() => on.close())
    const { seen, consumer } = await consuming(on, name)
    await waitFor(() => gate.polling === 1, { what: 'a poll' })
    await on.publish('', name, 'm')
    await waitFor(() => seen.length === 1, { what: 'the message' })
    await consumer.stop()
    expect(gate.polling).toBe(0)
    await on.publish('', name, 'for others')
    await waitFor(() => held(name).ready.length === 1, { what: 'a message that nobody takes' })
  })

  it('are several while they come back full', async () => {
    const name = unique('busy')
    const on = connection()
    await on.declare(queue(name))
    await Promise.all(Array.from({ length: 300 }, (_, n) => on.publish('', name, n)))
    const { seen } = await consuming(on, name)
    await waitFor(() => seen.length === 300, { what: 'all' })
    expect(new Set(seen.map(({ payload }) => payload)).size).toBe(300)
    // Ten at a time: what is sent, received and deleted one by one would be 900 requests.
    await waitFor(() => held(name).inflight.length === 0, { what: 'all acks' })
  })
})

describe('predefined queues', () => {
  const predefined = async (...names: string[]): Promise<string> => {
    const urls = await Promise.all(names.map(async (name) => [name, { url: await urlOf(name) }]))
    return `predefined_queues=${encodeURIComponent(JSON.stringify(Object.fromEntries(urls)))}`
  }

  it('are used under their own names, and no other is made, listed or deleted', async () => {
    const name = unique('given')
    await other.createQueue({ QueueName: name })
    const on = connection(await predefined(name))
    const from = gate.asked.length
    const news = exchange(unique('news'))
    await on.declare(queue(name, { bindings: [bind(news, 'k')] }))
    await on.publish(news, 'k', 'm')
    expect((await on.get(name))?.payload).toBe('m')
    await expect(on.declare(queue('another'))).rejects.toMatchObject({
      replyCode: 404,
      message: expect.stringContaining('not among predefined_queues'),
    })
    await expect(on.delete(name)).rejects.toMatchObject({ replyCode: 403 })
    expect(gate.asked.slice(from).filter((action) => /Create|DeleteQueue|List(?!QueueTags)/.test(action))).toEqual([])
  })
})

it('a prefix is in front of every name', async () => {
  const name = unique('orders')
  const on = connection('queue_name_prefix=prod-')
  await on.declare(queue(name))
  await on.publish('', name, 'm')
  expect(held(`prod-${name}`).ready).toHaveLength(1)
  expect((await on.get(name))?.queue).toBe(name)
})

it('a message as large as SQS takes passes, and a larger one is refused with its size, and those around it not', async () => {
  const name = unique('large')
  const on = connection()
  await on.declare(queue(name))
  const large = Buffer.alloc(580_000, 7)
  const all = await Promise.allSettled([
    on.publish('', name, 'before'),
    on.publish('', name, large),
    on.publish('', name, Buffer.alloc(600_000)),
    on.publish('', name, 'after'),
  ])
  expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
  expect(all[2]).toMatchObject({
    reason: { reason: 'refused', message: expect.stringMatching(/1048576 bytes.*the message takes 1067\d{3} bytes/s) },
  })
  const { seen } = await consuming(on, name)
  await waitFor(() => seen.length === 3, { what: 'all but one' })
  expect(seen.some(({ body }) => large.equals(body))).toBe(true)
})
