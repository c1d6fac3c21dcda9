/** F2 of producers that write into a database: every committed event is sent, and no other. */
import { expect } from 'vitest'
import { consume, createBus, event, on, queue } from '../../../src/index.ts'
import { waitFor } from '../../support/wait.ts'
import type { Reachable } from '../victim.ts'
import { type Row, type Scale, World } from '../world.ts'
import { openEffects } from './effects.ts'

const Done = event<{ id: string }>('faults.done.v1')
/** What a relay sends before it removes it. */
const BATCH = 200
/** Where producers die: of themselves before they send what they took, or after, or killed anywhere. */
const WAYS = ['before', 'after', '']

/** Two producers that relay their outbox, one of which dies and is replaced again and again. */
export async function outboxKills(victim: Reachable, scale: Scale): Promise<Row> {
  const kills = scale === 'long' ? 50 : 3
  await using world = new World(victim.url)
  await using effects = await openEffects()
  const came = new Map<string, number>()
  await using bus = createBus({ url: victim.url, onEvent: () => undefined })
  const listening = queue(world.queue.name, { type: 'classic', listensTo: [Done] })
  const count = on(Done, ({ data: { id } }) => void came.set(id, (came.get(id) ?? 0) + 1))
  await bus.consume(consume(listening, { concurrency: 50 }, count))

  let born = 0
  const start = (dies = '') => world.spawn('outbox', `outbox-${born++}`, { DATABASE: effects.url, DIES: dies })
  const producers = [start(WAYS[0]), start(WAYS[1])]
  for (let kill = 0; kill < kills; kill++) {
    const [before, at] = [came.size, kill % 2]
    if (WAYS[kill % WAYS.length] === '') {
      await producers[at]!.line('producing')
      await waitFor(() => came.size > before + Math.random() * BATCH, { what: 'events to come', deadlineMs: 60_000, everyMs: 5 })
      producers[at]!.signal('SIGKILL')
    }
    expect(await producers[at]!.exit()).toEqual({ code: null, signal: 'SIGKILL' })
    producers[at] = start(kill + 2 < kills ? WAYS[(kill + 2) % WAYS.length] : '')
  }
  await Promise.all(producers.map((producer) => producer.line('producing')))
  for (const producer of producers) producer.signal('SIGTERM')
  expect(await Promise.all(producers.map((producer) => producer.exit()))).toEqual(producers.map(() => ({ code: 0, signal: null })))
  const committed = await effects.ids()
  await waitFor(() => came.size >= committed.length, { what: 'every committed event', deadlineMs: 60_000 }).catch(() => undefined)
  expect([...came.keys()].toSorted()).toEqual(committed.toSorted())
  const twice = [...came.values()].reduce((sum, times) => sum + times - 1, 0)
  expect(twice).toBeLessThanOrEqual(kills * BATCH)
  return {
    did: `${kills} of them, before or after they sent what they took, or anywhere; they wrote ${committed.length} events in transactions, and rolled back every fifth besides`,
    seen: `every committed one sent, and none that was rolled back; ${twice} sent twice, of which each kill may cause ${BATCH}`,
  }
}
