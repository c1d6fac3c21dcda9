/** Fanout exchanges as topics of SNS, on an emulator, which lets every topic into every queue and shows no rights: those are answered by the gate. */
import { SNS } from '@aws-sdk/client-sns'
import { SQS } from '@aws-sdk/client-sqs'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { Connection as OwnConnection } from '../../src/core/connection.ts'
import { type Connection, type ConnectionOptions, type Exchange, bind, exchange, queue } from '../../src/index.ts'
import { createSqsTransport } from '../../src/transports/sqs/index.ts'
import { ownerTags } from '../../src/transports/sqs/tags.ts'
import { type SqsEmulator, startSqs } from '../support/sqs.ts'
import { waitFor } from '../support/wait.ts'
import { type Gate, openGate, type Refusal } from './gate.ts'

let emulator: SqsEmulator
let gate: Gate
/** Another team's clients. */
let sqs: SQS
let sns: SNS

beforeAll(async () => {
  emulator = await startSqs()
  gate = await openGate(emulator.endpoint)
  const settings = { endpoint: emulator.endpoint, region: 'us-east-1', credentials: { accessKeyId: 'key', secretAccessKey: 'secret' } }
  sqs = new SQS(settings)
  sns = new SNS(settings)
})
afterAll(async () => {
  sqs.destroy()
  sns.destroy()
  await gate[Symbol.asyncDispose]()
  await emulator[Symbol.asyncDispose]()
})

let count = 0
const unique = (name: string): string => `${name}.${++count}`
const fanout = (name = unique('news')): Exchange => exchange(name, { type: 'fanout' })
const mapped = (name: string): string => name.replaceAll('.', '-')
const topicArn = (name: string): string => `arn:aws:sns:us-east-1:000000000000:${mapped(name)}`
const queueArn = (name: string): string => `arn:aws:sqs:us-east-1:000000000000:${mapped(name)}`

/** As another process: what one declares, no other knows of but through SQS and SNS. */
function connection(parameters = '', options: ConnectionOptions = {}): Connection {
  const transport = createSqsTransport()
  const url = new URL(`sqs://key:secret@${gate.host}/?wait_time_seconds=0&polling_interval=0.02&supports_fanout=true&${parameters}`)
  const opened = new OwnConnection([url], async () => transport, { backoff: { minMs: 10, maxMs: 50 }, ...options })
  onTestFinished(() => opened.close({ deadlineMs: 1_000 }))
  return opened
}

async function bound(on: Connection, ...to: readonly Exchange[]): Promise<string> {
  const name = unique('bound')
  await on.declare(queue(name, { bindings: to.map((one) => bind(one)) }))
  return name
}

const subscribed = async (topic: Exchange): Promise<(string | undefined)[]> =>
  ((await sns.listSubscriptionsByTopic({ TopicArn: topicArn(topic.name) })).Subscriptions ?? []).map(({ Endpoint }) => Endpoint)

const held = (name: string) => emulator.server.inspectQueue(mapped(name))!.messages.ready

function refusing(action: string, refusal: Refusal | 'cut'): void {
  gate.refuse(action, refusal)
  onTestFinished(() => gate.refuse(action, undefined))
}

const denied = (action: string): Refusal => ({
  status: 403,
  type: 'AuthorizationError',
  message: `User: me is not authorized to perform: SNS:${action}`,
})

async function policyOf(name: string): Promise<{ Statement: Record<string, unknown>[] }> {
  const { QueueUrl } = await sqs.getQueueUrl({ QueueName: mapped(name) })
  const { Attributes } = await sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['Policy'] })
  return JSON.parse(Attributes?.['Policy'] ?? '{}') as { Statement: Record<string, unknown>[] }
}

describe('a fanout exchange', () => {
  it("is Kombu's topic, and one publish brings Kombu's bytes to each queue that is subscribed", async () => {
    const news = fanout()
    const [there, here] = [connection(), connection()]
    const names = [await bound(there, news), await bound(there, news)]
    const from = gate.asked.length
    expect(await here.publish(news, 'key', { n: 1 }, { headers: { own: 1, message_attributes: { kind: 'a' } } })).toEqual({ routed: true })
    // Nobody needs to look through queues for that.
    expect(gate.asked.slice(from).filter((action) => !['ListQueues', 'GetQueueAttributes'].includes(action))).toEqual([
      'CreateTopic',
      'ListSubscriptionsByTopic',
      'PublishBatch',
    ])
    const { Tags: tags } = await sns.listTagsForResource({ ResourceArn: topicArn(news.name) })
    expect(tags).toContainEqual({ Key: 'ManagedBy', Value: 'Celery/Kombu' })
    for (const name of names) {
      expect(JSON.parse(held(name)[0]!.body)).toMatchObject({
        body: Buffer.from('{"n":1}').toString('base64'),
        headers: { own: 1 },
        properties: { delivery_info: { exchange: news.name, routing_key: 'key' }, body_encoding: 'base64' },
      })
      expect(await there.get(name)).toMatchObject({ payload: { n: 1 }, exchange: news.name, routingKey: 'key' })
    }
  })

  it('is one also for who only knows its name, and finds it on a queue', async () => {
    const news = fanout()
    const name = await bound(connection(), news)
    const theirs = unique('theirs')
    await sqs.createQueue({ QueueName: mapped(theirs) })
    await sns.subscribe({ TopicArn: topicArn(news.name), Protocol: 'sqs', Endpoint: queueArn(theirs) })
    const on = connection()
    expect(await on.publish(news.name, '', 'm')).toEqual({ routed: true })
    expect([held(name).length, held(theirs).length]).toEqual([1, 1])
  })

  it('brings what Kombu publishes, and what no Kombu did', async () => {
    const news = fanout()
    const on = connection()
    const name = await bound(on, news)
    const body = Buffer.from('[[], {}, {}]').toString('base64')
    const envelope = {
      body,
      headers: { task: 't' },
      'content-type': 'application/json',
      properties: { delivery_info: { exchange: news.name, routing_key: '' }, body_encoding: 'base64', delivery_tag: 'd' },
    }
    await sns.publish({ TopicArn: topicArn(news.name), Message: JSON.stringify(envelope) })
    await sns.publish({
      TopicArn: topicArn(news.name),
      Message: 'plain',
      MessageAttributes: { kind: { DataType: 'String', StringValue: 'a' } },
    })
    expect(await on.get(name)).toMatchObject({ payload: [[], {}, {}], exchange: news.name, properties: { headers: { task: 't' } } })
    expect(await on.get(name)).toMatchObject({ payload: 'plain', properties: { headers: { kind: 'a' } } })
  })

  it('lets SNS into each queue, beside what others allow there', async () => {
    const [first, second] = [fanout(), fanout()]
    const on = connection()
    const name = await bound(on, first)
    const { QueueUrl } = await sqs.getQueueUrl({ QueueName: mapped(name) })
    const kombus = { Sid: 'KombuManaged', Effect: 'Allow', Condition: { ArnLike: { 'aws:SourceArn': topicArn(first.name) } } }
    const { Statement: ours } = await policyOf(name)
    await sqs.setQueueAttributes({
      QueueUrl,
      Attributes: { Policy: JSON.stringify({ Version: '2012-10-17', Statement: [...ours, kombus] }) },
    })
    await connection().declare(queue(name, { bindings: [bind(first), bind(second)] }))
    expect((await policyOf(name)).Statement).toEqual([
      kombus,
      {
        Sid: 'OmnibusManaged',
        Effect: 'Allow',
        Principal: { Service: 'sns.amazonaws.com' },
        Action: 'sqs:SendMessage',
        Resource: queueArn(name),
        Condition: { ArnLike: { 'aws:SourceArn': [topicArn(first.name), topicArn(second.name)] } },
      },
    ])
    const from = gate.asked.length
    await connection().declare(queue(name, { bindings: [bind(first)] }))
    expect(gate.asked.slice(from)).not.toContain('SetQueueAttributes')
  })

  it('knows whether anybody is subscribed', async () => {
    const news = fanout()
    const on = connection()
    await on.declare(news)
    await expect(on.publish(news, '', 'm')).rejects.toMatchObject({ reason: 'unroutable' })
    await sqs.createQueue({ QueueName: 'theirs' })
    await sns.subscribe({ TopicArn: topicArn(news.name), Protocol: 'sqs', Endpoint: queueArn('theirs') })
    // It may be a second old.
    await waitFor(() => on.publish(news, '', 'm').catch(() => undefined), { what: 'the subscription of others to be seen' })
  })

  it.each<[string, (on: Connection, name: string, news: Exchange) => Promise<unknown>]>([
    ['unbind', (on, name, news) => on.unbind(name, news, '')],
    ['delete of the queue', (on, name) => on.delete(queue(name))],
    ['delete of the exchange', (on, _, news) => on.delete(news)],
  ])('is left by %s, in any process', async (_, leave) => {
    const news = fanout()
    const name = await bound(connection(), news)
    expect(await subscribed(news)).toEqual([queueArn(name)])
    await leave(connection(), name, news)
    expect(await subscribed(news)).toEqual([])
  })

  it('is left by one of two bindings when the other goes, too', async () => {
    const news = fanout()
    const on = connection()
    const name = unique('bound')
    await on.declare(queue(name, { bindings: [bind(news, 'a'), bind(news, 'b')] }))
    await on.unbind(name, news, 'a')
    expect(await subscribed(news)).toEqual([queueArn(name)])
    await on.unbind(name, news, 'b')
    expect(await subscribed(news)).toEqual([])
  })

  it('is left by exclusive queues when their session ends, and by those of a process that was killed when the next begins', async () => {
    const news = fanout()
    const on = connection()
    const { queueName } = await on.consume(queue('', { bindings: [bind(news)] }), (delivery) => void delivery.ack())
    expect(await subscribed(news)).toEqual([queueArn(queueName)])
    await on.close()
    expect(await subscribed(news)).toEqual([])

    const left = await bound(connection(), news)
    const { QueueUrl } = await sqs.getQueueUrl({ QueueName: mapped(left) })
    await sqs.tagQueue({ QueueUrl, Tags: { ...ownerTags('somebody', Date.now() - 61_000) } })
    await connection().consume(queue('', { bindings: [bind(fanout())] }), (delivery) => void delivery.ack())
    await waitFor(async () => (await subscribed(news)).length === 0 && !emulator.server.inspectQueue(mapped(left)), {
      what: 'the queue of the dead to go, with its subscription',
    })
  })

  it('takes dead letters', async () => {
    const letters = fanout()
    const on = connection()
    const parked = await bound(on, letters)
    const name = unique('rejecting')
    await on.declare(queue(name, { arguments: { 'x-dead-letter-exchange': letters.name } }))
    await on.publish('', name, 'bad')
    expect(await (await on.get(name))?.reject()).toBe(true)
    expect((await on.get(parked))?.payload).toBe('bad')
  })

  it('of FIFO keeps the order, and drops what is sent twice', async () => {
    const news = fanout(`${unique('news')}.fifo`)
    const orders = queue(`${unique('orders')}.fifo`, { bindings: [bind(news)] })
    const on = connection()
    await on.declare(orders)
    for (const n of [0, 1, 2, 2]) await on.publish(news, '', n, { messageId: `m${n}` })
    const seen: unknown[] = []
    await on.consume(orders, (delivery) => (seen.push(delivery.payload), void delivery.ack()))
    await waitFor(() => seen.length === 3, { what: 'all' })
    expect(seen).toEqual([0, 1, 2])
  })
})

describe('predefined exchanges', () => {
  const predefined = (name: string, topic: string): string =>
    `predefined_exchanges=${encodeURIComponent(JSON.stringify({ [name]: { arn: topicArn(topic) } }))}`

  it('are the only ones, none is made or deleted, and queues are subscribed to them', async () => {
    const news = fanout()
    await sns.createTopic({ Name: 'given' })
    const on = connection(predefined(news.name, 'given'))
    const from = gate.asked.length
    const name = await bound(on, news)
    await on.publish(news, '', 'm')
    expect((await on.get(name))?.payload).toBe('m')
    await expect(on.declare(fanout('another'))).rejects.toMatchObject({
      replyCode: 404,
      message: expect.stringContaining('not among predefined_exchanges'),
    })
    await expect(on.delete(news)).rejects.toMatchObject({ replyCode: 403 })
    expect(gate.asked.slice(from).filter((action) => /(Create|Delete)Topic/.test(action))).toEqual([])
  })
})

describe('what SNS refuses', () => {
  it.each(['CreateTopic', 'Subscribe'])('%s: tells which right is missing', async (action) => {
    refusing(action, denied(action))
    const news = fanout()
    const declared = connection().declare(queue(unique('bound'), { bindings: [bind(news)] }))
    await expect(declared).rejects.toMatchObject({
      replyCode: 403,
      message: expect.stringMatching(new RegExp(`${mapped(news.name).replace('-', '.')}.*not authorized to perform: SNS:${action}`)),
    })
  })

  it.each<[string, Refusal, string, RegExp]>([
    ['a right', denied('Publish'), 'refused', /topic "news-\d+".*SNS:Publish/],
    ['too many requests', { status: 400, type: 'Throttled', message: 'Rate exceeded' }, 'nacked', /Rate exceeded/],
    ['the key of its encryption', { status: 400, type: 'KMSDisabled', message: 'no key for you' }, 'refused', /no key/],
  ])('a publish for %s: rejects by name', async (_, refusal, reason, message) => {
    const news = fanout()
    const on = connection()
    const name = await bound(on, news)
    refusing('PublishBatch', refusal)
    await expect(on.publish(news, '', 'm')).rejects.toMatchObject({ reason, message: expect.stringMatching(message) })
    gate.refuse('PublishBatch', undefined)
    await on.publish(news, '', 'm')
    expect(held(name)).toHaveLength(1)
  })

  it('what is too large, and has too many attributes to be given to anybody', async () => {
    const news = fanout()
    const on = connection()
    const name = await bound(on, news)
    const attributes = Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`a${n}`, 'x']))
    const all = await Promise.allSettled([
      on.publish(news, '', 'before'),
      on.publish(news, '', Buffer.alloc(200_000)),
      on.publish(news, '', 'm', { headers: { message_attributes: attributes } }),
      on.publish(news, '', 'after'),
    ])
    expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled'])
    expect(all[1]).toMatchObject({ reason: { message: expect.stringMatching(/takes 26\d{4} bytes/) } })
    expect(all[2]).toMatchObject({ reason: { message: expect.stringContaining('at most 10 attributes') } })
    expect(held(name)).toHaveLength(2)
  })

  it('whether anybody is subscribed: then somebody is', async () => {
    refusing('ListSubscriptionsByTopic', denied('ListSubscriptionsByTopic'))
    const on = connection()
    expect(await on.publish(fanout(), '', 'm')).toEqual({ routed: true })
  })

  it('a topic that is gone is unroutable, and made again by the next', async () => {
    const news = fanout()
    const on = connection()
    const name = await bound(on, news)
    await sns.deleteTopic({ TopicArn: topicArn(news.name) })
    await expect(on.publish(news, '', 'lost')).rejects.toMatchObject({ reason: 'unroutable' })
    await on.declare(queue(name, { bindings: [bind(news)] }))
    expect(await on.publish(news, '', 'm')).toEqual({ routed: true })
    expect((await on.get(name))?.payload).toBe('m')
  })

  it('by a cut is published again, within its deadline', async () => {
    const news = fanout()
    const downs: unknown[] = []
    const on = connection('', { onEvent: (event) => void (event.type === 'down' && downs.push(event)) })
    await bound(on, news)
    gate.refuse('PublishBatch', 'cut')
    onTestFinished(() => gate.refuse('PublishBatch', undefined))
    const publishing = on.publish(news, '', 'm')
    await waitFor(() => downs.length > 0, { what: 'the link to go' })
    gate.refuse('PublishBatch', undefined)
    expect(await publishing).toEqual({ routed: true })
  })
})
