/** What the built-in broker answers is what RabbitMQ answers: codes, words, class and method ids, contents. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BrokerHandle, startBroker } from '../../src/broker/index.ts'
import { tempDir } from '../support/run-folder.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { play, refusal, type Script } from './parity-script.ts'
import type { LoginOptions } from './raw-client.ts'

const temporary = { autoDelete: true, durable: false } as const
const exchange = (name: string, type = 'fanout', args = {}) => ({ exchange: name, type, ...temporary, arguments: args })
const queue = (name: string, args = {}) => ({ queue: name, exclusive: true, arguments: args })
const bound = (destination: string, source: string, routingKey = '') => ({ destination, source, routingKey })
const consume = (name: string, noAck = false, args = {}) => ({ queue: name, consumerTag: `of ${name}`, noAck, arguments: args })
const count = (name: string) => ({ queue: name, passive: true })

const scripts: Record<string, (script: Script) => Promise<void>> = {
  'bindings between exchanges': async ({ ask, publish, delivered }) => {
    await ask('exchange.declare', exchange('p.source', 'topic'))
    await ask('exchange.declare', exchange('p.target'))
    await ask('queue.declare', queue('p.q'))
    await ask('queue.bind', { queue: 'p.q', exchange: 'p.target', routingKey: '' })
    await ask('exchange.bind', bound('p.target', 'p.source', 'a.*'))
    await ask('exchange.bind', bound('p.target', 'p.source', 'a.*'))
    publish('p.source', 'a.b', 'x')
    publish('p.source', 'b', 'y', { mandatory: true })
    await ask('basic.consume', consume('p.q', true))
    await delivered(2)
    await ask('exchange.delete', { exchange: 'p.source', ifUnused: true })
    await ask('exchange.unbind', bound('p.target', 'p.source', 'other'))
    await ask('exchange.unbind', bound('p.target', 'p.source', 'a.*'))
    await ask('exchange.declare', { exchange: 'p.source', passive: true, type: 'topic' })
  },
  'bindings that cannot be': async ({ ask }) => {
    await ask('exchange.bind', bound('p.none', 'amq.topic'))
    await ask('exchange.bind', bound('amq.topic', 'p.none'))
    await ask('exchange.bind', bound('', 'amq.topic'))
    await ask('exchange.bind', bound('amq.topic', ''))
    await ask('exchange.unbind', bound('amq.topic', 'p.none'))
    await ask('queue.bind', { queue: 'p.none', exchange: 'amq.topic', routingKey: '' })
    await ask('queue.declare', queue('p.q'))
    await ask('queue.bind', { queue: 'p.q', exchange: 'p.none', routingKey: '' })
    await ask('queue.unbind', { queue: 'p.q', exchange: 'p.none', routingKey: '' })
    await ask('queue.unbind', { queue: 'p.q', exchange: 'amq.topic', routingKey: 'never' })
    await ask('queue.unbind', { queue: 'p.none', exchange: 'amq.topic', routingKey: '' })
    await ask('queue.bind', { queue: 'p.q', exchange: '', routingKey: 'x' })
    await ask('queue.bind', { queue: 'p.q', exchange: 'amq.headers', routingKey: '', arguments: { 'x-match': 'some' } })
  },
  'copies by headers': async ({ ask, publish, delivered }) => {
    for (const name of ['p.to', 'p.cc', 'p.bcc']) await ask('queue.declare', queue(name))
    publish('', 'p.to', 'x', { properties: { headers: { CC: ['p.cc', 'p.to'], BCC: ['p.bcc'], other: 1 } } })
    for (const name of ['p.to', 'p.cc', 'p.bcc']) await ask('basic.consume', consume(name, true))
    await delivered(3)
    publish('', 'p.to', 'x', { properties: { headers: { CC: 'p.cc' } } })
    await ask('basic.qos', { prefetchSize: 0, prefetchCount: 0 })
  },
  transactions: async ({ ask, publish, say, delivered }) => {
    await ask('queue.declare', queue('p.q'))
    await ask('tx.commit', {})
    await ask('tx.rollback', {})
    await ask('tx.select', {})
    await ask('tx.select', {})
    publish('', 'p.q', 'one')
    publish('', 'p.nobody', 'back', { mandatory: true })
    await ask('queue.declare', count('p.q'))
    await ask('tx.commit', {})
    await delivered(1)
    await ask('queue.declare', count('p.q'))
    publish('', 'p.q', 'never')
    await ask('tx.rollback', {})
    await ask('basic.get', { queue: 'p.q' })
    say('basic.ack', { deliveryTag: 1 })
    await ask('tx.rollback', {})
    say('basic.ack', { deliveryTag: 1 })
    await ask('tx.commit', {})
    say('basic.ack', { deliveryTag: 1 })
    await ask('tx.commit', {})
    await ask('tx.select', {})
    await ask('confirm.select', {})
    await ask('confirm.select', {})
    await ask('tx.select', {})
    await ask('tx.select', {})
    publish('p.none', '', 'x')
    await ask('tx.commit', {})
  },
  'a transaction into a full queue': async ({ ask, publish }) => {
    await ask('queue.declare', queue('p.full', { 'x-max-length': 1, 'x-overflow': 'reject-publish' }))
    await ask('tx.select', {})
    publish('', 'p.full', 'one')
    await ask('tx.commit', {})
    publish('', 'p.full', 'two')
    await ask('tx.commit', {})
    await ask('queue.declare', count('p.full'))
  },
  'direct answers': async ({ ask, publish, delivered, replyTo }) => {
    await ask('queue.declare', queue('p.service'))
    await ask('queue.declare', count('amq.rabbitmq.reply-to'))
    await ask('queue.declare', count('amq.rabbitmq.reply-to.nobody'))
    await ask('basic.consume', consume('amq.rabbitmq.reply-to'))
    publish('', 'p.service', 'x', { properties: { replyTo: 'amq.rabbitmq.reply-to' } })
    await ask('basic.qos', { prefetchSize: 0, prefetchCount: 0 })
    await ask('basic.consume', consume('amq.rabbitmq.reply-to', true))
    await ask('basic.consume', { ...consume('amq.rabbitmq.reply-to', true), consumerTag: 'second' })
    await ask('basic.consume', consume('amq.rabbitmq.reply-to', true))
    publish('', 'p.service', 'request', { properties: { replyTo: 'amq.rabbitmq.reply-to', correlationId: '7' } })
    await ask('basic.consume', consume('p.service', true))
    await delivered(1)
    publish('', replyTo(), 'answer', { properties: { correlationId: '7' }, mandatory: true })
    await delivered(3)
    await ask('basic.cancel', { consumerTag: 'of amq.rabbitmq.reply-to' })
    publish('', replyTo(), 'late', { mandatory: true })
    await delivered(4)
  },
  recover: async ({ ask, publish, delivered }) => {
    await ask('queue.declare', queue('p.q'))
    publish('', 'p.q', 'x')
    await ask('basic.consume', consume('p.q'))
    await delivered(1)
    await ask('basic.recover', { requeue: true })
    await delivered(2)
  },
  'recover without requeue': async ({ ask }) => ask('basic.recover', { requeue: false }),
  'an inactive flow': async ({ ask }) => ask('channel.flow', { active: false }),
  'an active flow': async ({ ask }) => ask('channel.flow', { active: true }),
  'immediate publishes': async ({ ask, publish }) => {
    publish('', 'x', 'x', { immediate: true })
    await ask('basic.qos', { prefetchSize: 0, prefetchCount: 0 })
  },
  'a method in the middle of a content': async ({ ask, say }) => {
    say('basic.publish', { exchange: '', routingKey: 'x' })
    await ask('basic.qos', { prefetchSize: 0, prefetchCount: 0 })
  },
  'a prefetch in bytes': async ({ ask }) => ask('basic.qos', { prefetchSize: 100, prefetchCount: 0 }),
  'a consumer tag twice': async ({ ask }) => {
    await ask('queue.declare', queue('p.q'))
    await ask('basic.consume', consume('p.q'))
    await ask('basic.consume', consume('p.q'))
  },
  'a method of brokers': async ({ ask }) => ask('basic.qos-ok', {}),
}
for (const type of ['x-random', 'direct']) {
  scripts[`an exchange as ${type}`] = async ({ ask }) => {
    await ask('exchange.declare', exchange('p.exchange', type))
    await ask('exchange.declare', exchange('p.exchange', 'topic'))
    await ask('exchange.declare', { exchange: 'amq.mine', type: 'direct' })
    await ask('exchange.declare', { exchange: '', type: 'direct' })
    await ask('exchange.delete', { exchange: 'amq.topic' })
    await ask('exchange.delete', { exchange: '' })
    await ask('exchange.delete', { exchange: 'p.none' })
    await ask('exchange.declare', { ...exchange('p.exchange', type), durable: true })
    await ask('exchange.declare', exchange('p.exchange', type, { 'alternate-exchange': 'rest' }))
    await ask('exchange.delete', { exchange: 'p.exchange' })
  }
}

describe.runIf(hasRabbit())('the built-in broker and RabbitMQ', () => {
  let broker: BrokerHandle
  let rabbit: { host: string; port: number }

  beforeAll(async () => {
    broker = await startBroker({ data: tempDir('parity') })
    const url = new URL(await sharedRabbit())
    rabbit = { host: url.hostname, port: Number(url.port) }
  })
  afterAll(() => broker.stop())

  test.each<[string, LoginOptions]>([
    ['a virtual host that is not there', { vhost: 'elsewhere' }],
    ['a wrong password', { response: Buffer.from('\0guest\0wrong'), capabilities: { authentication_failure_close: true } }],
  ])('%s', async (_, login) => {
    const [ours, theirs] = [await refusal({ path: broker.address!.socket }, login), await refusal(rabbit, login)]
    expect(ours).toEqual(theirs)
  })

  test.each(Object.entries(scripts))('%s', async (_, script) => {
    const [ours, theirs] = [await play({ path: broker.address!.socket }, script), await play(rabbit, script)]
    expect(theirs.answers.length).toBeGreaterThan(0)
    expect(ours).toEqual(theirs)
  })
})
