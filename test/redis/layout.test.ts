/** What lies in Redis, to the byte where Kombu reads it. */
import { describe, expect, it } from 'vitest'
import { bind } from '../../src/core/entities.ts'
import { outgoing } from '../../src/testing/conformance/subject.ts'
import { hasRedis, sharedRedis } from '../support/shared-redis.ts'
import { ground } from './subjects.ts'

const SEP = '\u0006\u0016'

describe.runIf(hasRedis())('in Redis', () => {
  it('each queue has a copy of its own, as Kombu writes it, in the list of its priority', async () => {
    const { process, prefix, command } = await ground(await sharedRedis())
    const subject = process()
    const source = subject.exchange('fanout')
    const plain = await subject.declared({ bindings: [bind(source)] })
    const urgent = await subject.declared({ bindings: [bind(source)], maxPriority: 9 })
    const properties = { contentType: 'application/json', contentEncoding: 'utf-8', priority: 6, expirationMs: 60_000, headers: { own: 1 } }
    await subject.publish([outgoing(source.name, 'key', '{"a":1}', { properties })])
    const read = async (key: string): Promise<Record<string, unknown>> => {
      const texts = (await command('LRANGE', prefix + key, '0', '-1')) as string[]
      expect(texts).toHaveLength(1)
      return JSON.parse(texts[0]!) as Record<string, unknown>
    }
    const copies = [await read(plain), await read(`${urgent}${SEP}3`)]
    const tags = copies.map((copy) => (copy['properties'] as { delivery_tag: string }).delivery_tag)
    expect(new Set(tags).size).toBe(2)
    expect(copies).toEqual(
      // Where the queue has a maximum, 9 to 0 become Kombu's 0 to 9.
      [0, 3].map((priority, i) => ({
        _omnibus: expect.stringMatching(/^\d{13}\|\d{13}\|0\|0\|6$/),
        body: 'eyJhIjoxfQ==',
        'content-encoding': 'utf-8',
        'content-type': 'application/json',
        headers: { own: 1 },
        properties: {
          expiration: '60000',
          delivery_mode: 2,
          delivery_info: { exchange: source.name, routing_key: 'key' },
          priority,
          body_encoding: 'base64',
          delivery_tag: tags[i],
        },
      })),
    )
  })

  it("bindings are lines of Kombu's sets, with its patterns, and go with their queue", async () => {
    const { process, prefix, command } = await ground(await sharedRedis())
    const subject = process()
    const session = await subject.session()
    const [topic, direct] = [subject.exchange('topic'), subject.exchange('direct')]
    const name = await subject.declared({ bindings: [bind(topic, 'a-b_c.*.#'), bind(topic, ''), bind(topic, 'é.x'), bind(direct, 'k')] })
    const other = await subject.declared({ bindings: [bind(direct, 'k')] })
    const lines = async (exchange: string) => ((await command('SMEMBERS', `${prefix}_kombu.binding.${exchange}`)) as string[]).toSorted()
    expect(await lines(topic.name)).toEqual(
      [
        [String.raw`a-b_c.*.#`, String.raw`^a\-b\_c\..*?[^\.]\..*?$`, name],
        ['', '^$', name],
        ['é.x', String.raw`^é\.x$`, name],
      ]
        .map((line) => line.join(SEP))
        .toSorted(),
    )
    await session.unbind(name, topic.name, 'é.x', {})
    expect(await lines(topic.name)).toHaveLength(2)
    await session.deleteQueue(name)
    expect(await lines(topic.name)).toEqual([])
    expect(await lines(direct.name)).toEqual([['k', '', other].join(SEP)])
  })

  it("a held message is in Kombu's books with the queue it came from, and leaves nothing behind", async () => {
    const { process, prefix, command } = await ground(await sharedRedis())
    const subject = process()
    const source = subject.exchange('topic')
    const name = await subject.declared({ bindings: [bind(source, 'a.#')] })
    await subject.publish([outgoing(source.name, 'a.b', 'm')])
    const [text] = (await command('LRANGE', prefix + name, '0', '-1')) as string[]
    const held = await subject.next(name)
    const [field, entry] = Object.entries((await command('HGETALL', `${prefix}unacked`)) as Record<string, string>)[0]!
    expect(JSON.parse(entry)).toEqual([JSON.parse(text!), '', name])
    const score = Number(await command('ZSCORE', `${prefix}unacked_index`, field))
    expect(Math.abs(score - Date.now() / 1_000)).toBeLessThan(60)
    await held.settle('requeue')
    const [again] = (await command('LRANGE', prefix + name, '0', '-1')) as string[]
    expect(JSON.parse(again!)).toMatchObject({ properties: { delivery_info: { redelivered: true, exchange: source.name } } })
    await (await subject.next(name)).settle('ack')
    await (await subject.session()).deleteQueue(name)
    await (await subject.session()).deleteExchange(source.name)
    await (await subject.session()).close()
    expect(await command('KEYS', `${prefix}*`)).toEqual([])
  })

  it('what only Kombu knows can be used by its name: its queues while they hold something, its exchanges by their bindings', async () => {
    const { process, prefix, command } = await ground(await sharedRedis())
    const subject = process()
    await command('SADD', `${prefix}_kombu.binding.kx`, ['rk', '', 'kq'].join(SEP), ['other', '', 'kq2'].join(SEP))
    await command('SADD', `${prefix}_kombu.binding.kt`, ['#.z', String.raw`^.*?\.z$`, 'kq'].join(SEP))
    // As Celery binds its own.
    await command('SADD', `${prefix}_kombu.binding.celery`, ['celery', '', 'celery'].join(SEP))
    expect(
      await subject.publish([
        outgoing('kx', 'rk', '1'),
        outgoing('kx', 'nobody', '2'),
        outgoing('kt', 'z', '3'),
        outgoing('', 'celery', '4'),
        outgoing('', 'kq', '5'),
        outgoing('', 'not-there', '6'),
      ]),
    ).toEqual([true, false, true, true, true, false].map((routed) => ({ status: 'confirmed', routed })))
    expect(await subject.drain('kq')).toEqual(['1', '3', '5'])
    expect(await subject.drain('celery')).toEqual(['4'])
  })
})
