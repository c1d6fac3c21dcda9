import { expect, it } from 'vitest'
import { queue } from '../../src/core/entities.ts'
import { TopologyError } from '../../src/core/errors.ts'
import { waitFor } from '../support/wait.ts'
import { onEachBroker } from './brokers.ts'
import { consume, message, publish, unique } from './sessions.ts'

onEachBroker('consuming', (on) => {
  it('holds the prefetch, for each subscription alone', async () => {
    const name = await on.declared()
    await publish(
      on.session,
      Array.from({ length: 20 }, (_, i) => message(name, `m${i}`)),
    )
    const first = await consume(on.session, name, { prefetch: 3 })
    const second = await consume(on.session, name, { prefetch: 5 })
    await waitFor(() => first.bodies.length === 3 && second.bodies.length === 5, { what: 'both prefetches to fill' })
    expect((await on.session.inspect(name)).messages).toBe(12)
    void first.deliveries[0]?.settle('ack')
    await waitFor(() => first.bodies.length === 4, { what: 'one more delivery' })
    expect(second.bodies.length).toBe(5)
  })

  it('acks in any order, single and many, and leaves nothing behind', async () => {
    const name = await on.declared()
    const count = 1000
    await publish(
      on.session,
      Array.from({ length: count }, (_, i) => message(name, `m${i}`)),
    )
    const { deliveries, subscription } = await consume(on.session, name)
    await waitFor(() => deliveries.length === count, { what: 'all deliveries' })
    const order = deliveries.toSorted((a, b) => hash(a.body) - hash(b.body))
    for (const [i, delivery] of order.entries()) {
      expect(delivery.settle(i % 7 === 0 ? 'reject' : 'ack')).toBe(true)
      // Only the first settlement counts, also when it was another one.
      expect(delivery.settle('requeue')).toBe(true)
      if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await subscription.cancel()
    const other = await on.open()
    expect(await other.session.inspect(name)).toEqual({ name, messages: 0, consumers: 0 })
    await other.session.close()
    expect(on.deaths).toEqual([])
  })

  it('rejects to the dead letters, requeues and releases to the same queue, and counts where the broker counts', async () => {
    const dead = await on.declared()
    const live = queue(unique('quorum'), { type: 'quorum', deadLetterExchange: '', deadLetterRoutingKey: dead })
    await on.session.declareQueue(live)
    await publish(on.session, [message(live.name, 'm', { properties: { headers: { own: 1 } } })])
    const counts: (number | undefined)[] = []
    const { deliveries } = await consume(on.session, live.name, {
      onDelivery: (delivery) => {
        counts.push(delivery.deliveryCount)
        void delivery.settle((['requeue', 'release', 'reject'] as const)[counts.length - 1] ?? 'ack')
      },
    })
    const letter = await waitFor(() => on.session.get(dead), { what: 'the dead letter' })
    expect(counts).toEqual(on.kind.counted)
    expect(deliveries.map((d) => d.redelivered)).toEqual([false, true, true])
    expect(letter.properties.headers).toMatchObject({ own: 1, 'x-death': [{ queue: live.name, reason: 'rejected', count: 1 }] })
    void letter.settle('ack')

    const plain = await on.declared()
    await publish(on.session, [message(plain)])
    void (await on.session.get(plain))?.settle('requeue')
    const again = await waitFor(() => on.session.get(plain), { what: 'the message again' })
    expect(again).toMatchObject({ redelivered: true, deliveryCount: on.kind.countedOnClassic })
    void again.settle('ack')
  })

  it('keeps what was delivered settleable after cancel, and frees the channel after the last', async () => {
    const name = await on.declared()
    await publish(on.session, [message(name, 'a'), message(name, 'b')])
    const { deliveries, subscription, cancellations } = await consume(on.session, name, { prefetch: 2 })
    await waitFor(() => deliveries.length === 2, { what: 'two deliveries' })
    await Promise.all([subscription.cancel(), subscription.cancel()])
    await publish(on.session, [message(name, 'c')])
    expect(await on.session.inspect(name)).toEqual({ name, messages: 1, consumers: 0 })
    expect(deliveries.map((d) => d.settle('ack'))).toEqual([true, true])
    await subscription.cancel()
    const next = await consume(on.session, name)
    await waitFor(() => next.bodies.length > 0, { what: 'the next message' })
    expect(next.bodies).toEqual(['c'])
    expect(deliveries.length).toBe(2)
    expect(cancellations).toEqual([])
  })

  it('tells when the broker ends a subscription', async () => {
    const name = await on.declared()
    await publish(on.session, [message(name)])
    const { deliveries, cancellations, subscription } = await consume(on.session, name)
    await waitFor(() => deliveries.length === 1, { what: 'the delivery' })
    await on.session.deleteQueue(name)
    await waitFor(() => cancellations.length > 0, { what: 'the cancellation' })
    expect(cancellations).toEqual([expect.stringMatching(`consumer of queue "${name}"`)])
    await subscription.cancel()
    expect(on.deaths).toEqual([])
  })

  it('takes without acks, and alone where asked to', async () => {
    const name = await on.declared()
    await publish(on.session, [message(name, 'a'), message(name, 'b')])
    const { deliveries } = await consume(on.session, name, { noAck: true, exclusive: true, prefetch: 1 })
    await waitFor(() => deliveries.length === 2, { what: 'both, whatever the prefetch' })
    expect(deliveries[0]?.settle('requeue')).toBe(true)
    await expect(consume(on.session, name)).rejects.toThrow(/ACCESS_REFUSED.*exclusive/)
    expect(on.deaths).toEqual([])
  })

  it('fetches single messages, also from more queues than it keeps channels for', async () => {
    const names = await Promise.all(Array.from({ length: 30 }, () => on.declared()))
    await publish(
      on.session,
      names.flatMap((name) => [message(name, 'a'), message(name, 'b')]),
    )
    const fetched = await Promise.all(names.flatMap((name) => [on.session.get(name), on.session.get(name)]))
    await expect(on.session.get('no such queue')).rejects.toThrow(TopologyError)
    expect(fetched.map((d) => Buffer.from(d?.body ?? []).toString())).toEqual(names.flatMap(() => ['a', 'b']))
    expect(fetched.map((d) => d?.settle('ack'))).toEqual(fetched.map(() => true))
    expect(await Promise.all(names.map((name) => on.session.get(name)))).toEqual(names.map(() => undefined))
  })

  it('gives unsettled deliveries back on close, after telling what was settled', async () => {
    const name = await on.declared()
    const { session, deaths } = await on.open()
    await publish(session, [message(name, 'a'), message(name, 'b'), message(name, 'c')])
    const { deliveries } = await consume(session, name)
    await waitFor(() => deliveries.length === 3, { what: 'three deliveries' })
    void deliveries[1]?.settle('ack')
    await Promise.all([session.close(), session.close()])
    expect(deliveries[0]?.settle('ack')).toBe(false)
    expect((await on.session.inspect(name)).messages).toBe(2)
    expect(deaths).toEqual([])
    await expect(session.inspect(name)).rejects.toThrow(/closed/)
  })
})

function hash(bytes: Uint8Array): number {
  let value = 0
  for (const byte of bytes) value = (value * 31 + byte * 7919) % 10_007
  return value
}
