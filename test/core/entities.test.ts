import { describe, expect, it } from 'vitest'
import { bind, exchange, queue } from '../../src/core/entities.ts'
import { ConfigError } from '../../src/core/errors.ts'

describe('exchange and queue', () => {
  it('are plain frozen data', () => {
    const uploads = exchange('uploads', { type: 'topic' })
    const incoming = queue('incoming', { bindings: [bind(uploads, 'video.*')] })
    expect(incoming).toMatchObject({
      name: 'incoming',
      durable: true,
      exclusive: false,
      bindings: [{ exchange: uploads, routingKey: 'video.*' }],
    })
    expect(Object.isFrozen(incoming) && Object.isFrozen(incoming.bindings) && Object.isFrozen(incoming.arguments)).toBe(true)
    expect(structuredClone(incoming)).toEqual(incoming)
  })

  it('are quorum queues on RabbitMQ unless RabbitMQ has none for it', () => {
    expect(queue('a').arguments['x-queue-type']).toBe('quorum')
    for (const classic of [queue(''), queue('b', { type: 'classic' }), queue('c', { maxPriority: 5 }), queue('d', { autoDelete: true })]) {
      expect(classic.type).toBe('classic')
      expect(classic.arguments['x-queue-type']).toBeUndefined()
    }
    expect(() => queue('e', { type: 'quorum', exclusive: true })).toThrow(ConfigError)
  })

  it('turn options with units into the arguments brokers know', () => {
    const { arguments: args } = queue('q', {
      messageTtlMs: 1,
      expiresMs: 2,
      maxLength: 3,
      overflow: 'reject-publish',
      deadLetterExchange: exchange('dlx'),
    })
    expect(args).toEqual({
      'x-queue-type': 'quorum',
      'x-message-ttl': 1,
      'x-expires': 2,
      'x-max-length': 3,
      'x-overflow': 'reject-publish',
      'x-dead-letter-exchange': 'dlx',
    })
  })

  it('listen to anything with an exchange and a routing key', () => {
    const source = { exchange: exchange('omnibus.events', { type: 'topic' }), routingKey: 'video.uploaded.v1' }
    expect(queue('q', { listensTo: [source] }).bindings).toEqual([bind(source.exchange, source.routingKey)])
  })

  it('refuse what cannot work, naming it', () => {
    expect(() => exchange('x'.repeat(256))).toThrow('at most 255 bytes')
    expect(() => queue('q', { messageTTL: 5 } as object)).toThrow('did you mean "messageTtlMs"?')
    expect(() => queue('q', { bindings: [{}] as never })).toThrow('queue("q")')
    expect(() => bind('uploads' as never)).toThrow('an exchange made by exchange()')
  })
})
