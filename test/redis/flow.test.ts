/** How messages move: waking who waits, Kombu's channels, dead letters on their way. */
import { describe, expect, it } from 'vitest'
import { bind } from '../../src/core/entities.ts'
import { outgoing, texts } from '../../src/testing/conformance/subject.ts'
import { hasRedis, sharedRedis } from '../support/shared-redis.ts'
import { waitFor } from '../support/wait.ts'
import { ground } from './subjects.ts'

/** So long that no test waits for the next look. */
const NEVER = { polling_interval: '600' }
const kombus = (text: string, tag: string): string =>
  `{"body": "${Buffer.from(text).toString('base64')}", "content-encoding": "utf-8", "content-type": "text/plain", "headers": {}, "properties": {"delivery_mode": 2, "delivery_info": {"exchange": "x", "routing_key": ""}, "priority": 0, "body_encoding": "base64", "delivery_tag": "${tag}"}}`

describe.runIf(hasRedis())('a consumer that waits', () => {
  it('is woken by what another process of ours publishes, gives back or lets expire', async () => {
    const place = await ground(await sharedRedis())
    const [consuming, publishing] = [place.process(NEVER), place.process(NEVER)]
    const name = await publishing.declared()
    const waiting = await publishing.declared({ messageTtlMs: 20, deadLetterExchange: '', deadLetterRoutingKey: name })
    const { bodies } = await consuming.consume(name, { onDelivery: (delivery) => void delivery.settle('ack') })
    for (const [i, send] of [
      () => publishing.send(name, 'm0'),
      () => publishing.send(waiting, 'm1'),
      () => publishing.send(name, 'm2'),
    ].entries()) {
      await send()
      await waitFor(() => bodies.length === i + 1, { what: `m${i}` })
    }
    expect(bodies).toEqual(texts(3))
    // Taken by one that holds it, while the other waits.
    const held = place.process(NEVER)
    await publishing.send(waiting, 'kept')
    await waitFor(() => bodies.length === 4, { what: 'it to come back' })
    const second = await publishing.declared()
    await publishing.send(second, 'given back')
    const taken = await held.next(second)
    const other = await consuming.consume(second)
    await taken.settle('release')
    await waitFor(() => other.bodies.length === 1, { what: 'what was given back' })
  })

  it('finds what Kombu has put there without a bell, in the order of its priorities', async () => {
    const place = await ground(await sharedRedis())
    const subject = place.process(NEVER)
    const name = await subject.declared()
    const { bodies, deliveries } = await subject.consume(name, { prefetch: 1 })
    await place.command('LPUSH', `${place.prefix}${name}\u0006\u00169`, kombus('late', '1'))
    await waitFor(() => bodies.length === 1, { what: 'the first' })
    await place.command('LPUSH', `${place.prefix}${name}\u0006\u00169`, kombus('later', '2'))
    await place.command('LPUSH', place.prefix + name, kombus('at once', '3'))
    void deliveries[0]?.settle('ack')
    await waitFor(() => bodies.length === 2, { what: 'the urgent one' })
    expect(bodies).toEqual(['late', 'at once'])
  })
})

describe.runIf(hasRedis())('fanout', () => {
  it("brings what Kombu says on its channel into each queue once, however many consume it, and ours to Kombu's listeners", async () => {
    const place = await ground(await sharedRedis())
    const [one, two] = [place.process(), place.process()]
    const source = one.exchange('fanout')
    const [shared, own] = [one.queue({ bindings: [bind(source)] }), two.queue({ bindings: [bind(source)] })]
    for (const subject of [one, two]) await (await subject.session()).declareQueue(shared)
    await (await two.session()).declareQueue(own)
    const consumers = [await one.consume(shared.name), await two.consume(shared.name), await two.consume(own.name)] as const
    const channel = `${place.prefix}/0.${source.name}`
    await place.command('PUBLISH', channel, kombus('plain', 'k1'))
    await place.command('PUBLISH', `${channel}/some.key`, kombus('with a key', 'k2'))
    await place.command('PUBLISH', channel, 'no message')
    expect(await one.publish([outgoing(source.name, '', 'ours')])).toEqual([{ status: 'confirmed', routed: true }])
    const all = ['ours', 'plain', 'with a key']
    const seen = (): string[][] => [[...consumers[0].bodies, ...consumers[1].bodies].toSorted(), consumers[2].bodies.toSorted()]
    await waitFor(() => seen().every((bodies) => bodies.length >= 3), { what: 'all three in both' })
    expect(seen()).toEqual([all, all])
  })

  it('reaches the queues of the exchange while nobody consumes them', async () => {
    const place = await ground(await sharedRedis())
    const subject = place.process()
    const source = subject.exchange('fanout')
    const name = await subject.declared({ bindings: [bind(source)] })
    // A fanout queue of Kombu's is no list, and nobody would ever take from it.
    await place.command('SADD', `${place.prefix}_kombu.binding.${source.name}`, ['', '', 'kombus'].join('\u0006\u0016'))
    await subject.publish([outgoing(source.name, 'k', 'kept')])
    expect(await subject.drain(name)).toEqual(['kept'])
    expect(await place.command('EXISTS', `${place.prefix}kombus`)).toBe(0)
  })
})

describe.runIf(hasRedis())('routing', () => {
  it('follows bindings that another process, or Kombu, makes and takes away while batches are under way, and keeps the order', async () => {
    const place = await ground(await sharedRedis())
    const [publishing, binding] = [place.process(), place.process()]
    const source = publishing.exchange('topic')
    const steady = await publishing.declared({ bindings: [bind(source, '#')] })
    const changing = binding.queue({ bindings: [bind(source, 'a.*')] })
    const session = await publishing.session()
    let confirmed = 0
    const change = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        await (await binding.session()).declareQueue(changing)
        await (await binding.session()).unbind(changing.name, source.name, 'a.*', {})
      }
    }
    const sending = (async () => {
      for (let batch = 0; batch < 20; batch++) {
        session.publish(
          texts(50).map((_, i) => outgoing(source.name, 'a.b', `m${batch * 50 + i}`)),
          () => confirmed++,
        )
        await session.inspect(steady)
      }
    })()
    await Promise.all([sending, change()])
    await waitFor(() => confirmed === 1_000, { what: 'all to be confirmed' })
    expect(await publishing.drain(steady)).toEqual(texts(1_000))
  })

  it('moves dead letters through an exchange whose bindings change, each once, with their history', async () => {
    const place = await ground(await sharedRedis())
    const [one, two] = [place.process(), place.process()]
    const graves = one.exchange('topic')
    const name = await one.declared({ messageTtlMs: 30, deadLetterExchange: graves, deadLetterRoutingKey: 'dead.letter' })
    const first = await one.declared({ bindings: [bind(graves, 'dead.*')] })
    await one.send(name, ...texts(100))
    await one.counts(first, { messages: 100 })
    const second = await two.declared({ bindings: [bind(graves, '#')] })
    await two.send(name, 'last')
    await two.counts(second, { messages: 1 })
    expect(await one.drain(first)).toEqual([...texts(100), 'last'])
    const letter = await two.next(second)
    expect(letter.properties.headers).toMatchObject({ 'x-death': [{ queue: name, reason: 'expired', count: 1, exchange: '' }] })
    expect([letter.exchange, letter.routingKey, letter.deliveryCount]).toEqual([graves.name, 'dead.letter', 0])
    expect(await place.command('EXISTS', `${place.prefix}_omnibus.letters`)).toBe(0)
  })
})
