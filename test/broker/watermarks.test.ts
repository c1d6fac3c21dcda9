/** What stops publishers: disk, store and memory; and how much a body may be. */
import { expect, test } from 'vitest'
import { alarmAt, defaultMaxMemory } from '../../src/broker/watermarks.ts'
import { connect, queue as queueOf } from '../../src/index.ts'
import { omnibus } from '../support/omnibus.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'

const limits = { minFreeBytes: 100, maxStoreBytes: 1000, maxMemoryBytes: 10_000 }
const fine = { freeBytes: 100, storeBytes: 1000, memoryBytes: 10_000 }

test('levels and limits', () => {
  expect(alarmAt(fine, limits, undefined)).toBeUndefined()
  expect(alarmAt({ ...fine, freeBytes: 99 }, limits, undefined)).toBe('DISK_LOW: 99 bytes are free, 100 are needed')
  expect(alarmAt({ ...fine, storeBytes: 1001 }, limits, undefined)).toMatch(/^STORE_LARGE: .*1001.*1000/)
  expect(alarmAt({ ...fine, storeBytes: 1001 }, { ...limits, maxStoreBytes: undefined }, undefined)).toBeUndefined()
  const high = alarmAt({ ...fine, memoryBytes: 10_001 }, limits, undefined)
  expect(high).toMatch(/^MEMORY_HIGH: .*10001.*10000/)
  // It wavers: only clearly below is below.
  expect(alarmAt({ ...fine, memoryBytes: 9900 }, limits, high)).toMatch(/^MEMORY_HIGH/)
  expect(alarmAt({ ...fine, memoryBytes: 9400 }, limits, high)).toBeUndefined()
  expect(defaultMaxMemory()).toBeGreaterThan(100_000_000)
})

test('a store that is large enough blocks publishers until consumers have made it smaller, by the flags of the command', async () => {
  const data = tempDir('large')
  await using broker = omnibus(['broker', '--data', data, '--max-store', '2MiB', '--max-body', '100KiB', '--max-memory', '8GiB'])
  await broker.line('accepts on')
  const events: string[] = []
  const connection = connect(`omnibus://${data}?spawn=false`, {
    deadlineMs: 60_000,
    maxInFlight: 10,
    onEvent: (event) => events.push(event.type === 'blocked' ? `blocked: ${event.reason}` : event.type),
  })
  await using _ = { [Symbol.asyncDispose]: () => connection.close() }
  const q = queueOf('q', { type: 'classic' })
  await connection.declare(q)
  await expect(connection.publish(q, 'x'.repeat(101 * 1024))).rejects.toThrow(/larger than the limit of 102400/)
  let confirmed = 0
  const all = Array.from({ length: 400 }, (__, n) => connection.publish(q, `${n} ${'x'.repeat(20_000)}`).then(() => confirmed++))
  await waitFor(() => events.some((event) => event.startsWith('blocked: STORE_LARGE')), { what: 'the publisher to be blocked' })
  expect(confirmed).toBeLessThan(400)
  let got = 0
  await connection.consume(q, (delivery) => {
    got++
    void delivery.ack()
  })
  await Promise.all(all)
  await waitFor(() => got >= 400, { what: 'all to be consumed' })
  expect(events).toContain('unblocked')
})

test('a size that is none is told', async () => {
  await using broker = omnibus(['broker', '--max-body', 'much'])
  expect((await broker.exit()).code).toBe(78)
  expect(broker.lines.join('\n')).toContain('It must be a size, such as 500000, 64MiB or 2GiB.')
})
