/** Fanout exchanges as topics of SNS, on an emulator, which lets every topic into every queue. */
import { describe, expect, it } from 'vitest'
import { type Connection, type Exchange, bind, queue } from '../../src/index.ts'
import { ownerTags } from '../../src/transports/sqs/tags.ts'
import { waitFor } from '../support/wait.ts'
import { bound, connection, emulator, fanout, gate, held, mapped, queueArn, sns, sqs, topicArn, unique } from './sns.ts'

const subscribed = async (topic: Exchange): Promise<(string | undefined)[]> =>
  ((await sns.listSubscriptionsByTopic({ TopicArn: topicArn(topic.name) })).Subscriptions ?? []).map(({ Endpoint }) => Endpoint)

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
