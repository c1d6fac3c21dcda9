import { connect, queue } from 'omnibus'
import { expect, test } from 'vitest'
import { run } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { ownership, SCRIPT } from './processes.ts'

const COUNT = 100_000
/** Of the broker's heap, in MiB: bodies and entries of all messages would need several times as much. */
const HEAP = 24

test('a long queue does not live in memory: it fills and drains, in order, in a heap too small for it', async () => {
  const options = { data: tempDir('long'), listen: '127.0.0.1:0' }
  await using broker = run(process.execPath, [`--max-old-space-size=${HEAP}`, SCRIPT, JSON.stringify(options)], { label: 'small-broker' })
  const { url } = await ownership(broker)
  const long = queue('long', { type: 'classic' })
  await using connection = connect(url, { maxInFlight: 2000, deadlineMs: 120_000 })
  await connection.declare(long)
  const text = 'x'.repeat(200)
  for (let n = 0; n < COUNT; n += 2000) {
    await Promise.all(Array.from({ length: 2000 }, (_, i) => connection.publish(long, { n: n + i, text })))
  }
  let next = 0
  let misplaced = 0
  await connection.consume(
    long,
    (delivery) => {
      if ((delivery.payload as { n: number }).n !== next++) misplaced++
      void delivery.ack()
    },
    { prefetch: 1000 },
  )
  await waitFor(() => next === COUNT, { what: 'the queue to be drained', deadlineMs: 120_000 })
  expect(misplaced).toBe(0)
}, 240_000)
