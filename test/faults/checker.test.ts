/** The checker sees each of eight faults, and none where there is none. */
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Connection } from '../../src/core/connection.ts'
import { queue } from '../../src/core/entities.ts'
import { breakable } from '../../src/testing/conformance/breakable.ts'
import { createMemoryTransport } from '../../src/transports/memory/index.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { check, faults, noFaults, openLedger, type Verdict } from './ledger.ts'
import { produce } from './load.ts'
import { mutated, type Mutant } from './mutants.ts'

const COUNT = 10_000
const PREFETCH = 100

interface Run {
  readonly verdict: Verdict
  /** Messages that wait though a consumer is there. */
  readonly waiting: number
}

/** Ten thousand messages, some of them requeued once, some for nobody; links that break only where a mutant needs it. */
async function run(mutant: Mutant | undefined, breaks: boolean): Promise<Run> {
  const folder = tempDir('ledger')
  const { transport, breakAll } = breakable(mutated(createMemoryTransport(), mutant))
  const options = { backoff: { minMs: 1, maxMs: 5 }, maxInFlight: 200 }
  const open = (): Connection => new Connection([new URL('memory:mutants')], async () => transport, options)
  const [publisher, consumer] = [open(), open()]
  const work = queue('work')
  const ledgers = { producer: openLedger(join(folder, 'producer')), consumer: openLedger(join(folder, 'consumer')) }
  await consumer.consume(
    work,
    async (delivery) => {
      const id = delivery.text()
      ledgers.consumer.write('delivered', id, delivery.redelivered ? 'again' : '')
      if (id.endsWith('77') && !delivery.redelivered) return void (await delivery.requeue())
      if (mutant === 'acks before handling' && id.endsWith('5000')) {
        await delivery.ack()
        ledgers.consumer.write('acked', id)
        return ledgers.consumer.write('handled', id)
      }
      ledgers.consumer.write('handled', id)
      if (await delivery.ack()) ledgers.consumer.write('acked', id)
    },
    { prefetch: PREFETCH },
  )
  let left = COUNT
  const sending = produce({ connection: publisher, queue: work, ledger: ledgers.producer, name: 'p', window: 150, more: () => left-- > 0 })
  const forNobody = Array.from({ length: 10 }, async (_, n) => {
    const id = `nobody-${n}`
    ledgers.producer.write('sent', id)
    await publisher.publish('', 'no such queue', id).then(
      () => ledgers.producer.write('confirmed', id),
      () => ledgers.producer.write('failed', id),
    )
  })
  if (breaks) {
    for (const reached of [1_000, 4_000, 7_000]) {
      await waitFor(() => ledgers.producer.count('confirmed') > reached, { what: `${reached} confirmed`, everyMs: 1 })
      breakAll()
      ledgers.consumer.write('up')
    }
  }
  await Promise.all([sending, ...forNobody])
  ledgers.producer.write('end')
  const progress = (): number => ledgers.consumer.count('delivered')
  let seen = -1
  // Until nothing moves any more, which for a consumer that sleeps is at once.
  await waitFor(() => seen === (seen = progress()), { what: 'the queue to come to rest', everyMs: 100 })
  const { messages: waiting } = await publisher.inspect(work)
  await Promise.all([publisher.close(), consumer.close({ deadlineMs: 100 })])
  return { verdict: check(folder), waiting }
}

it.each([false, true])('finds nothing wrong with what is right (links break: %s)', async (breaks) => {
  const { verdict, waiting } = await run(undefined, breaks)
  expect(faults(verdict)).toEqual(noFaults)
  expect({ waiting, handled: verdict.handled }).toEqual({ waiting: 0, handled: COUNT })
  expect(verdict.duplicates).toBeLessThanOrEqual(breaks ? 3 * (200 + PREFETCH) : 0)
})

const lost = ({ verdict }: Run): boolean => verdict.lost.length > 0

it.each<[Mutant, boolean, (run: Run) => boolean]>([
  ['acks before handling', false, ({ verdict }) => verdict.earlyAck.length === 1],
  ['drops one in ten thousand', false, lost],
  ['confirms before keeping', true, lost],
  ['delivers twice', false, ({ verdict }) => verdict.duplicates > 0],
  ['forgets redelivery', false, lost],
  ['reorders', false, ({ verdict }) => verdict.order.length > 0],
  ['swallows returns', false, lost],
  ['loses a wake-up', false, ({ waiting }) => waiting > 0],
])('catches one that %s', async (mutant, breaks, caught) => {
  const seen = await run(mutant, breaks)
  expect(caught(seen), JSON.stringify({ ...seen, verdict: { ...seen.verdict, lost: seen.verdict.lost.length } })).toBe(true)
})
