/** What queues on SQS are made of, and how bindings are found, on an emulator. */
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Connection, bind, exchange, queue } from '../../src/index.ts'
import { systemClock } from '../../src/core/clock.ts'
import { Connection as OwnConnection } from '../../src/core/connection.ts'
import { createSqsTransport } from '../../src/transports/sqs/index.ts'
import { bindingTags } from '../../src/transports/sqs/tags.ts'
import { waitFor } from '../support/wait.ts'
import { connection, consuming, emulator, gate, held, other, unique, urlOf } from './house.ts'

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
    await there.declare(queue(second, { bindings: [bind(news, '#')] }))
    // Which is done once a second at most.
    await waitFor(() => here.publish(news.name, 'c', 'two').then(() => true), { what: 'the new binding to be found' })
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
