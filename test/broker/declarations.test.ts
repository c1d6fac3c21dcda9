import { describe, expect, test } from 'vitest'
import type { Headers } from '../../src/core/message.ts'
import { harness } from './engine-harness.ts'

describe('declarations', () => {
  test('a second declaration must be the same, and the refusal names what differs', () => {
    const h = harness()
    h.queue('plain')
    h.queue('full', { 'x-message-ttl': 500, 'x-dead-letter-exchange': 'e' })
    const cases: [string, Headers, object, string][] = [
      [
        'plain',
        {},
        { durable: false },
        "inequivalent arg 'durable' for queue 'plain' in vhost '/': received 'false' but current is 'true'",
      ],
      ['plain', {}, { autoDelete: true }, "arg 'auto_delete' for queue 'plain' in vhost '/': received 'true' but current is 'false'"],
      [
        'plain',
        { 'x-message-ttl': 1 },
        {},
        "arg 'x-message-ttl' for queue 'plain' in vhost '/': received the value '1' of type 'signedint' but current is none",
      ],
      [
        'plain',
        { 'x-queue-type': 'quorum' },
        {},
        "arg 'x-queue-type' for queue 'plain' in vhost '/': received the value 'quorum' of type 'longstr'",
      ],
      [
        'full',
        { 'x-message-ttl': 600, 'x-dead-letter-exchange': 'e' },
        {},
        "arg 'x-message-ttl' for queue 'full' in vhost '/': received '600' but current is '500'",
      ],
      [
        'full',
        { 'x-message-ttl': 500 },
        {},
        "arg 'x-dead-letter-exchange' for queue 'full' in vhost '/': received none but current is the value 'e' of type 'longstr'",
      ],
    ]
    for (const [name, args, more, text] of cases) expect(() => h.queue(name, args, more)).toThrow(text)
    expect(h.queue('full', { 'x-dead-letter-exchange': 'e', 'x-message-ttl': 500 })).toBe('full')
  })

  test('arguments are checked', () => {
    const h = harness()
    const cases: [Headers, string][] = [
      [{ 'x-message-ttl': -1 }, "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': {value_negative,-1}"],
      [{ 'x-message-ttl': 'a' }, 'expected integer, got longstr'],
      [{ 'x-expires': 0 }, '{value_zero,0}'],
      [{ 'x-max-priority': 300 }, '{max_value_exceeded,300}'],
      [{ 'x-overflow': 'explode' }, 'invalid_overflow'],
      [{ 'x-dead-letter-routing-key': 'k' }, 'routing_key_but_no_dlx_defined'],
      [{ 'x-queue-type': 'stream' }, "unsupported queue type 'stream'"],
      [{ 'x-queue-type': 'quorum', 'x-max-priority': 5 }, 'of queue type rabbit_quorum_queue'],
    ]
    for (const [args, text] of cases) expect(() => h.queue('q', args)).toThrow(text)
    expect(() => h.queue('q', { 'x-queue-type': 'quorum' }, { durable: false })).toThrow("invalid property 'non-durable'")
    expect(h.depth('q')).toBe(-1)
    expect(
      h.queue('q', {
        'x-queue-type': 'quorum',
        'x-delivery-limit': 5,
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
      }),
    ).toBe('q')
  })

  test('names: 404, 403 for what the broker keeps for itself, and one is made for an empty one', () => {
    const h = harness()
    expect(() => h.engine.checkQueue('nope', {})).toThrow("NOT_FOUND - no queue 'nope' in vhost '/'")
    expect(() => h.engine.checkExchange('nope')).toThrow("NOT_FOUND - no exchange 'nope' in vhost '/'")
    expect(() => h.queue('amq.mine')).toThrow("ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'")
    expect(() => h.engine.deleteExchange('amq.topic', false)).toThrow('ACCESS_REFUSED')
    expect(() => h.engine.bind(h.queue('q'), '', 'k', {}, {})).toThrow('ACCESS_REFUSED - operation not permitted on the default exchange')
    const [first, second] = [h.queue(''), h.queue('')]
    expect(first).toMatch(/^amq\.gen-[\w-]{22}$/)
    expect(second).not.toBe(first)
  })

  test('an exclusive queue belongs to its connection and goes with it', () => {
    const h = harness()
    const mine = {}
    h.queue('mine', {}, { exclusive: true }, mine)
    expect(() => h.queue('mine', {}, { exclusive: true })).toThrow(
      "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine'",
    )
    expect(() => h.engine.deleteQueue('mine', {}, { ifUnused: false, ifEmpty: false })).toThrow('RESOURCE_LOCKED')
    expect(() => h.peer().channel.get('mine', true)).toThrow('RESOURCE_LOCKED')
    expect(h.queue('mine', {}, { exclusive: true }, mine)).toBe('mine')
    h.engine.disconnected(mine)
    expect(h.depth('mine')).toBe(-1)
  })

  test('exclusive consumers, unused and empty conditions', () => {
    const h = harness()
    h.queue('q')
    const [a, b] = [h.peer(), h.peer()]
    const consume = (peer: typeof a, exclusive: boolean): string =>
      peer.channel.consume({ queue: 'q', tag: '', noAck: false, exclusive, arguments: {}, prefetch: 1 })
    const tag = consume(a, true)
    expect(() => consume(b, false)).toThrow("ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use")
    a.channel.cancel(tag)
    consume(b, false)
    expect(() => consume(a, true)).toThrow('in exclusive use')
    expect(() => h.engine.deleteQueue('q', {}, { ifUnused: true, ifEmpty: false })).toThrow(
      "PRECONDITION_FAILED - queue 'q' in vhost '/' in use",
    )
    b.channel.close('untouched')
    a.publish('', 'q', 'x')
    expect(() => h.engine.deleteQueue('q', {}, { ifUnused: true, ifEmpty: true })).toThrow("queue 'q' in vhost '/' not empty")
    expect(h.engine.deleteQueue('q', {}, { ifUnused: true, ifEmpty: false })).toBe(1)
    expect(h.engine.deleteQueue('q', {}, { ifUnused: true, ifEmpty: false })).toBe(0)
  })

  test('consumers hear when their queue goes; an auto-delete queue goes with its last consumer', () => {
    const h = harness()
    const p = h.peer()
    h.queue('q')
    h.queue('brief', {}, { autoDelete: true })
    const options = { noAck: false, exclusive: false, arguments: {}, prefetch: 1 }
    p.channel.consume({ queue: 'q', tag: 'one', ...options })
    p.channel.consume({ queue: 'brief', tag: 'two', ...options })
    expect(() => p.channel.consume({ queue: 'q', tag: 'one', ...options })).toThrow("NOT_ALLOWED - attempt to reuse consumer tag 'one'")
    h.engine.deleteQueue('q', {}, { ifUnused: false, ifEmpty: false })
    expect(p.cancelled).toEqual(['one'])
    p.channel.cancel('two')
    expect(p.cancelled).toEqual(['one'])
    expect(h.depth('brief')).toBe(-1)
  })

  test('x-expires deletes a queue nobody uses', () => {
    const h = harness()
    const p = h.peer()
    h.queue('q', { 'x-expires': 1000 })
    const tag = p.channel.consume({ queue: 'q', tag: '', noAck: false, exclusive: false, arguments: {} })
    h.clock.pass(5000)
    expect(h.depth('q')).toBe(0)
    p.channel.cancel(tag)
    h.clock.pass(900)
    h.engine.checkQueue('q', {})
    h.clock.pass(900)
    expect(p.channel.get('q', false)).toBeUndefined()
    h.clock.pass(900)
    expect(h.depth('q')).toBe(0)
    h.clock.pass(100)
    expect(h.depth('q')).toBe(-1)
  })
})
