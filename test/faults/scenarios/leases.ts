/** F25: handlers that take longer than a message may be held, where a broker gives messages for a time only. */
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import { waitFor } from '../../support/wait.ts'
import { faults, noFaults } from '../ledger.ts'
import { produce } from '../load.ts'
import { type Row, type Scale, World } from '../world.ts'
import type { Reachable } from '../victim.ts'

/** `lease_seconds` of the victim's URL. Milliseconds. */
const LEASE_MS = 2_000
const PREFETCH = 20

/** Two consumers, each handler longer than a lease; then one of them freezes past it, and acks when its messages are another's. */
export async function frozenPastLease(victim: Reachable, scale: Scale): Promise<Row> {
  const rounds = scale === 'long' ? 5 : 1
  await using world = new World(victim.url)
  const ledger = world.ledger('producer')
  const connection = world.connect()
  const consumers = ['one', 'two'].map((name) => world.spawn('consumer', name, { PREFETCH: `${PREFETCH}`, HANDLE_MS: `${LEASE_MS * 1.5}` }))
  await Promise.all(consumers.map((consumer) => consumer.line('consuming')))
  const count = PREFETCH * 2 * rounds
  let left = count
  await produce({ connection, queue: world.queue, ledger, name: 'p', window: 20, more: () => left-- > 0 })
  const handled = (): number => world.written('one', 'handled') + world.written('two', 'handled')
  const acked = (): number => world.written('one', 'acked') + world.written('two', 'acked')
  await waitFor(() => acked() >= count, { what: 'all to be handled', deadlineMs: 120_000 })
  const renewed = { handled: handled(), acked: acked() }

  // Enough for both to hold as many as they may.
  left = PREFETCH * 2
  await produce({ connection, queue: world.queue, ledger, name: 'frozen', window: 20, more: () => left-- > 0 })
  await waitFor(() => world.written('one', 'delivered') > world.written('one', 'handled'), { what: 'the first one to hold something' })
  consumers[0]!.signal('SIGSTOP')
  await pause(LEASE_MS * 2.5)
  consumers[0]!.signal('SIGCONT')
  for (const consumer of consumers) consumer.signal('SIGTERM')
  expect(await Promise.all(consumers.map((consumer) => consumer.exit()))).toEqual(consumers.map(() => ({ code: 0, signal: null })))
  ledger.write('end')
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  expect(renewed, 'while both were well').toEqual({ handled: count, acked: count })
  expect(verdict.duplicates).toBeLessThanOrEqual(PREFETCH)
  return {
    did: `2 consumers, handlers of ${LEASE_MS * 1.5} ms and leases of ${LEASE_MS}, ${count} messages; then one frozen for ${LEASE_MS * 2.5} ms`,
    verdict,
    seen: `each handled once while both were well; of what the frozen one held at most ${PREFETCH} may come twice`,
  }
}
