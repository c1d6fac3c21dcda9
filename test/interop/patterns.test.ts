/** What messages go through: exchanges, queues declared from both sides, priorities, expiry, questions and answers, events. */
import { bind, consume, createBus, event, exchange, on, queue, type Message, type QueueOptions } from 'omnibus'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { waitFor } from '../support/wait.ts'
import { startHolder } from './holder.ts'
import { bytes, startPeers, type Library, type Told } from './python-peers.ts'
import { onEachBroker, unique } from './world.ts'

/** What Kombu's `Queue` is told, in seconds, and our words for the same. */
const declarations: [what: string, sugar: Record<string, unknown>, options: QueueOptions][] = [
  ['no arguments', {}, {}],
  ['a message TTL', { message_ttl: 60 }, { messageTtlMs: 60_000 }],
  ['an expiry', { expires: 60.5 }, { expiresMs: 60_500 }],
  ['a length', { max_length: 100, max_length_bytes: 10_000 }, { maxLength: 100, maxLengthBytes: 10_000 }],
  ['priorities', { max_priority: 10 }, { maxPriority: 10 }],
  [
    'everything',
    { message_ttl: 1, expires: 60, max_length: 7, max_priority: 5 },
    { messageTtlMs: 1_000, expiresMs: 60_000, maxLength: 7, maxPriority: 5 },
  ],
  [
    'dead letters',
    { queue_arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'nowhere' } },
    { deadLetterExchange: '', deadLetterRoutingKey: 'nowhere' },
  ],
  ['a transient queue', { durable: false, auto_delete: true }, { durable: false, autoDelete: true }],
  ['a quorum queue', { queue_arguments: { 'x-queue-type': 'quorum' } }, { type: 'quorum' }],
]

onEachBroker((world) => {
  test.each(declarations)("Kombu's queue with %s is ours, whoever declares first", async (_, sugar, options) => {
    const [theirs, ours] = [unique('declared'), unique('declared')].map((name) => queue(name, { type: 'classic', ...options }))
    await world.peers.ask('kombu', 'declare', { name: theirs!.name, ...sugar })
    await world.connection.declare(theirs!, ours!)
    await world.peers.ask('kombu', 'declare', { name: ours!.name, ...sugar })
    await world.connection.delete(theirs!)
    await world.connection.delete(ours!)
  })

  test('another declaration is refused on both sides, by its name', async () => {
    const mine = queue(unique('declared'), { type: 'classic', maxPriority: 10, expiresMs: 60_000 })
    await world.connection.declare(mine)
    await expect(world.peers.ask('kombu', 'declare', { name: mine.name })).rejects.toThrow(/PRECONDITION_FAILED.*x-max-priority|x-expires/)
    await expect(world.peers.ask('pika', 'declare', { name: mine.name })).rejects.toThrow('PRECONDITION_FAILED')
    await expect(world.connection.declare(queue(mine.name, { type: 'classic' }))).rejects.toMatchObject({ replyCode: 406 })
  })

  test.each(['kombu', 'pika'] as const)('through a topic and a fanout exchange, to and from %s', async (library: Library) => {
    const topic = exchange(unique('topic'), { type: 'topic', autoDelete: false })
    const fanout = exchange(unique('fanout'), { type: 'fanout' })
    const one = queue(unique('one'), { type: 'classic', bindings: [bind(topic, 'a.*'), bind(fanout)] })
    const two = { name: unique('two'), exchange: topic.name, type: 'topic', key: 'a.#' }
    const three = { name: unique('three'), exchange: fanout.name, type: 'fanout' }
    await world.connection.declare(one)
    await world.peers.ask(library, 'declare', two)
    await world.peers.ask(library, 'declare', three)
    const json = library === 'kombu' ? {} : { content_type: 'application/json' }
    await world.peers.ask(library, 'publish', {
      exchange: topic.name,
      messages: ['a.b', 'a.b.c', 'a'].map((key) => ({ key, body: `"${key}"`, ...json })),
    })
    for (const key of ['a.x', 'a.x.y']) await world.connection.publish(topic, key, { key })
    await expect(world.connection.publish(topic, 'b', {})).rejects.toMatchObject({ reason: 'unroutable' })
    await world.connection.publish(fanout, '', { to: 'all' })
    await world.peers.ask(library, 'publish', { exchange: fanout.name, type: 'fanout', messages: [{ key: 'any', body: {}, ...json }] })

    const ours = await world.take(one, 4)
    expect(ours.map(({ routingKey }) => routingKey)).toEqual(['a.b', 'a.x', '', 'any'])
    const keysOf = (told: Told[]): string[] => told.map(({ key }) => key)
    expect(keysOf(await world.peers.ask(library, 'consume', { ...two, count: 5 }))).toEqual(['a.b', 'a.b.c', 'a', 'a.x', 'a.x.y'])
    expect(keysOf(await world.peers.ask(library, 'consume', { ...three, count: 2 }))).toEqual(['', 'any'])
  })

  test.each(['kombu', 'pika', 'amqp'] as const)('in order, there and back, by %s', async (library) => {
    const line = queue(unique('line'), { type: 'classic', expiresMs: 60_000 })
    const arguments_ = { 'x-expires': 60_000 }
    const numbers = Array.from({ length: 100 }, (_, n) => n)
    await Promise.all(numbers.map((n) => world.connection.publish(line, String(n))))
    const declared = library === 'kombu' ? { queue_arguments: arguments_ } : { arguments: arguments_ }
    const told = await world.peers.ask<Told[]>(library, 'consume', { name: line.name, count: numbers.length, ...declared })
    const texts = numbers.map(String)
    expect(told.map(({ body }) => body)).toEqual(library === 'pika' ? texts.map(bytes) : texts)
    await world.peers.ask(library, 'publish', { messages: texts.map((text) => ({ key: line.name, body: bytes(text) })) })
    expect((await world.take(line, numbers.length)).map((delivery) => delivery.text())).toEqual(texts)
  })

  test.each(['kombu', 'pika'] as const)('what %s has not acked when it is killed comes to us', async (library) => {
    const held = queue(unique('held'), { type: 'classic' })
    await world.connection.declare(held)
    for (let n = 0; n < 5; n++) await world.connection.publish(held, { n })
    await using peers = await startPeers(world.url)
    expect(await peers.ask(library, 'hold', { name: held.name, count: 5 })).toHaveLength(5)
    expect(await world.connection.inspect(held)).toMatchObject({ messages: 0, consumers: 1 })
    peers.kill()
    const got = await world.take(held, 5)
    expect(got.map(({ payload, redelivered }) => [payload, redelivered])).toEqual([0, 1, 2, 3, 4].map((n) => [{ n }, true]))
    await world.connection.delete(held)
  })

  test.each(['kombu', 'pika'] as const)('what we have not acked when we are killed comes to %s', async (library) => {
    const held = queue(unique('held'), { type: 'classic' })
    await world.connection.declare(held)
    for (let n = 0; n < 5; n++) await world.connection.publish(held, String(n))
    await using holder = startHolder(world.url, held.name)
    await waitFor(async () => (await world.connection.inspect(held)).messages === 0, { what: 'all to be held' })
    holder.signal('SIGKILL')
    const told = await world.peers.ask<Told[]>(library, 'consume', { name: held.name, count: 5 })
    const texts = ['0', '1', '2', '3', '4']
    expect(told.map(({ body }) => body)).toEqual(library === 'pika' ? texts.map(bytes) : texts)
    await world.connection.delete(held)
  })

  test('the urgent first, and what is late not at all', async () => {
    const urgent = queue(unique('urgent'), { maxPriority: 10, expiresMs: 60_000 })
    await world.connection.declare(urgent)
    const messages = [1, 9, 5, 9].map((priority, n) => ({ key: urgent.name, body: { n }, priority }))
    await world.peers.ask('kombu', 'publish', { messages })
    expect((await world.take(urgent, 4)).map(({ payload }) => payload)).toEqual([{ n: 1 }, { n: 3 }, { n: 2 }, { n: 0 }])

    for (const { body, priority } of messages) await world.connection.publish(urgent, body, { priority })
    const told = await world.peers.ask<Told[]>('kombu', 'consume', { name: urgent.name, count: 4, expires: 60, max_priority: 10 })
    expect(told.map(({ body, priority }) => [body, priority])).toEqual([
      [{ n: 1 }, 9],
      [{ n: 3 }, 9],
      [{ n: 2 }, 5],
      [{ n: 0 }, 1],
    ])

    await world.peers.ask('kombu', 'publish', { messages: [{ key: urgent.name, body: 'late', expiration: 0.001 }] })
    await world.connection.publish(urgent, 'late', { expirationMs: 1 })
    await waitFor(async () => (await world.connection.inspect(urgent)).messages === 0, { what: 'both to expire' })
  })

  const questioners: [Library, Record<string, string>][] = [
    ['kombu', {}],
    ['kombu', { compression: 'gzip' }],
    ['pika', { content_type: 'application/json' }],
    ['pika', { content_type: 'application/json', reply_to: 'amq.rabbitmq.reply-to' }],
  ]
  test.each(questioners)('%s asks and we answer (%o)', async (library, options) => {
    const questions = queue(unique('questions'), { type: 'classic', expiresMs: 60_000 })
    const consumer = await world.connection.consume(questions, async (delivery) => {
      const { correlationId, replyTo } = delivery.properties
      await world.connection.publish('', replyTo!, { heard: delivery.payload }, { correlationId })
      await delivery.ack()
    })
    onTestFinished(() => void consumer.stop())
    const answer = { heard: { question: 'why' } }
    expect(await world.peers.ask(library, 'call', { key: questions.name, body: { question: 'why' }, ...options })).toEqual({
      answer: library === 'kombu' ? answer : bytes(JSON.stringify(answer)),
      matches: true,
    })
  })

  test('we ask and Kombu answers, compressed', async () => {
    const questions = queue(unique('questions'), { type: 'classic' })
    await world.connection.declare(questions)
    const answers: [unknown, string | undefined][] = []
    const consumer = await world.connection.consume(queue(''), async (delivery) => {
      answers.push([delivery.payload, delivery.properties.correlationId])
      await delivery.ack()
    })
    const serving = world.peers.ask('kombu', 'serve', { name: questions.name })
    await world.connection.publish(questions, { question: 'why' }, { replyTo: consumer.queueName, correlationId: 'c-1' })
    await serving
    await waitFor(() => answers.length > 0, { what: 'the answer' })
    expect(answers).toEqual([[{ heard: { question: 'why' } }, 'c-1']])
    await consumer.stop()
    await world.connection.delete(questions)
  })

  test.each(['kombu', 'pika'] as const)('we request and %s answers', async (library) => {
    const questions = queue(unique('questions'), { type: 'classic' })
    await world.connection.declare(questions)
    const serving = world.peers.ask(library, 'serve', { name: questions.name })
    const answer = await world.connection.request(questions, { question: 'why' })
    expect(answer.payload).toEqual({ heard: { question: 'why' } })
    await serving
    await world.connection.delete(questions)
  })

  test('a request that costs the channel tells those that wait for an answer on it', async () => {
    const silent = queue(unique('silent'), { type: 'classic' })
    await world.connection.declare(silent)
    const waiting = world.connection.request(silent, 'why').catch((error: unknown) => error)
    await waitFor(async () => (await world.connection.inspect(silent)).messages === 1, { what: 'the request to be taken' })
    await waitFor(() => world.connection.unconfirmed === 0, { what: 'its confirm' })
    await expect(world.connection.request(unique('no-exchange'), 'key', 'why')).rejects.toMatchObject({ reason: 'refused' })
    expect(await waiting).toMatchObject({ code: 'ERR_OMNIBUS_REQUEST', reason: 'lost', message: expect.stringContaining('NOT_FOUND') })
    await world.connection.delete(silent)
  })

  test('events: Kombu publishes what on() handles, reads what the bus publishes, and leaves its mistakes in the dead letters', async () => {
    const Asked = event(unique('asked'), { schema: z.object({ n: z.number() }) })
    const work = queue(unique('work'), { type: 'classic', listensTo: [Asked] })
    const theirs = { name: unique('theirs'), exchange: 'omnibus.events', key: Asked.type }
    await world.peers.ask('kombu', 'declare', theirs)
    const bus = createBus({ url: world.url, source: 'node', onEvent: () => undefined })
    onTestFinished(() => bus.close({ deadlineMs: 1_000 }))
    const seen: Message<{ n: number }>[] = []
    await bus.consume(
      consume(
        work,
        on(Asked, (message) => void seen.push(message)),
      ),
    )

    const key = Asked.type
    const bad = [
      { key, body: { n: 'one' } },
      { key, body: bytes('n'), content_type: 'application/x-python-serialize', content_encoding: 'binary' },
      { key, body: { n: 1 }, serializer: 'yaml' },
      { key, body: { n: 1 }, compression: 'bzip2' },
      { key, body: { n: 1 }, compression: 'lzma' },
      { key, body: '{}', content_type: 'application/json', content_encoding: 'utf-8', headers: { compression: 'application/x-gzip' } },
    ]
    await world.peers.ask('kombu', 'publish', {
      exchange: 'omnibus.events',
      messages: [
        { key, body: { n: 1 } },
        ...bad,
        { key, body: { n: 2 }, compression: 'gzip', message_id: 'm-2', correlation_id: 'c', headers: { a: 1 } },
      ],
    })
    await waitFor(() => seen.length === 2, { what: 'two events' })
    expect(seen).toMatchObject([
      { type: key, data: { n: 1 } },
      { id: 'm-2', data: { n: 2 }, correlationId: 'c', headers: { a: 1 } },
    ])
    const dead = await world.take(queue(`${work.name}.dlq`, { type: 'classic' }), bad.length)
    expect(dead.map(({ properties }) => properties.headers?.['omnibus-dead-reason'])).toEqual([
      expect.stringContaining('n: '),
      expect.stringContaining('"application/x-python-serialize" is not accepted'),
      expect.stringContaining('"application/x-yaml" is not accepted'),
      expect.stringContaining('"application/x-bz2" is not supported'),
      expect.stringContaining('"application/x-lzma" is not supported'),
      expect.stringContaining('not application/x-gzip'),
    ])

    await world.connection.purge(theirs.name)
    const { id } = await bus.publish(Asked, { n: 3 }, { compression: 'gzip', headers: { tenant: 'a' }, priority: 1, expirationMs: 60_000 })
    const [told] = await world.peers.ask<Told[]>('kombu', 'consume', { ...theirs, count: 1, accept: ['json'] })
    expect(told).toMatchObject({
      body: { n: 3 },
      message_id: id,
      type: key,
      app_id: 'node',
      priority: 1,
      expiration: '60000',
      headers: { tenant: 'a' },
    })
    await world.connection.delete(theirs.name)
    await world.connection.delete(work)
    await world.connection.delete(`${work.name}.dlq`)
  })
})
