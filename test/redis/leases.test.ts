/** What is held when somebody dies comes again, to where it was, and not before. */
import { describe, expect, it } from 'vitest'
import { bind } from '../../src/core/entities.ts'
import { outgoing, textOf, texts } from '../../src/testing/conformance/subject.ts'
import { hasRedis, sharedRedis } from '../support/shared-redis.ts'
import { waitFor } from '../support/wait.ts'
import { type Ground, ground } from './subjects.ts'

const now = (): number => Date.now() / 1_000

/** An entry in Kombu's books as Kombu 5.2 writes it. */
async function kombuHolds({ command, prefix }: Ground, tag: string, exchange: string, key: string, heldSince: number): Promise<void> {
  const envelope = `{"body": "${Buffer.from(tag).toString('base64')}", "content-encoding": "utf-8", "content-type": "text/plain", "headers": {"big": 9007199254740993}, "properties": {"delivery_mode": 2, "delivery_info": {"exchange": "${exchange}", "routing_key": "${key}"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "${tag}"}}`
  await command('HSET', `${prefix}unacked`, tag, `[${envelope}, "${exchange}", "${key}"]`)
  await command('ZADD', `${prefix}unacked_index`, String(heldSince), tag)
}

describe.runIf(hasRedis())('a consumer that died', () => {
  it('is noticed by others when its lease is over: what it held comes again in order, counted, and its own queue is gone', async () => {
    const place = await ground(await sharedRedis())
    const [dying, other] = [place.process({ lease_seconds: '1' }), place.process()]
    const name = await other.declared()
    const { name: own } = await (await dying.session()).declareQueue(dying.queue({ exclusive: true }))
    await other.send(name, ...texts(5))
    const { deliveries } = await dying.consume(name, { prefetch: 3 })
    await waitFor(() => deliveries.length === 3, { what: 'the deliveries' })
    await other.counts(name, { messages: 2, consumers: 1 })
    ;(await dying.session()).destroy()
    await other.counts(name, { messages: 5, consumers: 0 })
    const again = await other.next(name)
    expect([textOf(again), again.redelivered, again.deliveryCount]).toEqual(['m0', true, 1])
    expect(await other.drain(name)).toEqual(['m1', 'm2', 'm3', 'm4'])
    await expect((await other.session()).inspect(own)).rejects.toThrow(/404/)
    expect(await place.command('HLEN', `${place.prefix}unacked`)).toBe(1)
  })

  it('is not one whose handler takes longer than its lease: its scores stay fresh for Kombu, too', async () => {
    const place = await ground(await sharedRedis())
    const [slow, other] = [place.process({ lease_seconds: '2', visibility_timeout: '1' }), place.process({ visibility_timeout: '1' })]
    const name = await slow.declared()
    await other.session()
    await slow.send(name, 'long')
    const held = await slow.next(name)
    const [field] = (await place.command('ZRANGE', `${place.prefix}unacked_index`, '0', '-1')) as [string]
    const score = async (): Promise<number> => Number(await place.command('ZSCORE', `${place.prefix}unacked_index`, field))
    const first = await score()
    await waitFor(async () => (await score()) > first + 3, { what: 'more than a lease to pass' })
    expect(await (await other.session()).get(name)).toBeUndefined()
    expect(await held.settle('ack')).toBe(true)
    await slow.counts(name, { messages: 0 })
    expect(await slow.deaths()).toEqual([])
  })

  it('and comes back learns that it is over, and that its messages are with others', async () => {
    const place = await ground(await sharedRedis())
    const [paused, other] = [place.process(), place.process()]
    const name = await other.declared()
    await other.send(name, 'm')
    const { deliveries } = await paused.consume(name)
    await waitFor(() => deliveries.length === 1, { what: 'the delivery' })
    const [session] = Object.keys((await place.command('HGETALL', `${place.prefix}unacked`)) as Record<string, string>).map(
      (field) => field.split(':')[0]!,
    )
    // As if it had been stopped for longer than its lease.
    await place.command('ZADD', `${place.prefix}_omnibus.sessions`, '1', session!)
    const again = await other.next(name)
    expect(textOf(again)).toBe('m')
    await waitFor(async () => (await paused.deaths()).length > 0, { what: 'it to learn of it' })
    expect((await paused.deaths())[0]?.message).toMatch(/lease/)
    expect(await deliveries[0]?.settle('ack')).toBe(false)
    expect(await again.settle('ack')).toBe(true)
  })

  it("a Kombu's messages go where their routing means by our matching, those of a fanout and of the living stay", async () => {
    const place = await ground(await sharedRedis())
    const subject = place.process({ visibility_timeout: '60' })
    const source = subject.exchange('topic')
    const [two, one] = [
      await subject.declared({ bindings: [bind(source, '#.c')] }),
      await subject.declared({ bindings: [bind(source, 'a.*')] }),
    ]
    const all = subject.exchange('fanout')
    const third = await subject.declared({ bindings: [bind(all)] })
    await kombuHolds(place, 'direct', '', one, now() - 61)
    // Kombu's own pattern of a.* would take it, too.
    await kombuHolds(place, 'topical', source.name, 'a.b.c', now() - 61)
    await kombuHolds(place, 'nobody', 'unknown', two, now() - 61)
    await kombuHolds(place, 'living', '', one, now() - 30)
    await kombuHolds(place, 'wide', all.name, '', now() - 61)
    const reader = place.process({ visibility_timeout: '60' })
    await reader.counts(one, { messages: 1 })
    await reader.counts(two, { messages: 2 })
    const first = await reader.next(one)
    expect([textOf(first), first.redelivered, first.properties.headers?.['big']]).toEqual(['direct', true, 9_007_199_254_740_993n])
    expect((await reader.drain(two)).toSorted()).toEqual(['nobody', 'topical'])
    await reader.counts(third, { messages: 0 })
    await first.settle('ack')
    expect(((await place.command('HKEYS', `${place.prefix}unacked`)) as string[]).toSorted()).toEqual(['living', 'wide'])
  })
})

describe.runIf(hasRedis())('a settlement', () => {
  it('says false for what somebody has taken away meanwhile', async () => {
    const place = await ground(await sharedRedis())
    const subject = place.process()
    const name = await subject.declared()
    await subject.publish([outgoing('', name, 'm')])
    const held = await subject.next(name)
    await place.command('DEL', `${place.prefix}unacked`)
    expect(await held.settle('ack')).toBe(false)
  })
})
