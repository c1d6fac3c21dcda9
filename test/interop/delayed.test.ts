/**
 * The delays of Celery from 5.5 on, where its queues are quorum queues: the broker alone takes a message through queues for the bits of the seconds
 * it has to wait. https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/rabbitmq.html#native-delayed-delivery
 */
import { bind, exchange, queue } from 'omnibus'
import { expect, test } from 'vitest'
import type { Told } from './python-peers.ts'
import { onEachBroker, unique } from './world.ts'

/** Of the highest bit. */
const TOP = 27
const entry = `celery_delayed_${TOP}`

const keyOf = (seconds: number, key: string): string =>
  Array.from({ length: TOP + 1 }, (_, i) => (seconds >> (TOP - i)) & 1).join('.') + `.${key}`

onEachBroker((world) => {
  test('a message waits its seconds, through several queues, and comes to a queue of ours and to one of Kombu', async () => {
    const [ours, theirs] = [unique('ours'), unique('theirs')]
    const delivery = exchange('celery_delayed_delivery', { type: 'topic' })
    const served = queue(ours, { bindings: [bind(delivery, `#.${ours}`)] })
    await world.peers.ask('kombu', 'declare_delays', { top: TOP })
    await world.peers.ask('kombu', 'declare', { name: theirs, exchange: delivery.name, key: `#.${theirs}` })
    await world.connection.declare(served)
    const at = Date.now()
    const messages = [3, 0, 1].map((seconds) => ({ key: keyOf(seconds, ours), body: { seconds } }))
    await world.peers.ask('kombu', 'publish', { exchange: entry, messages })
    await world.connection.publish(entry, keyOf(1, theirs), 'ours')
    expect((await world.take(served, 3)).map(({ payload }) => payload)).toEqual([{ seconds: 0 }, { seconds: 1 }, { seconds: 3 }])
    expect(Date.now() - at).toBeGreaterThan(2_900)
    expect(await world.peers.ask<Told[]>('kombu', 'consume', { name: theirs, count: 1 })).toMatchObject([{ body: 'ours' }])
    for (let bit = 0; bit <= TOP; bit++) await world.connection.delete(`celery_delayed_${bit}`)
    for (const name of [ours, theirs]) await world.connection.delete(name)
  })
})
