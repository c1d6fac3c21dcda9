/** The reload storm: in the tests a short one; `npm run faults` has the long one, and writes what it saw into docs/reliability.md. */
import { appendFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { type Storm, storm } from './storm.ts'

const reloads = process.env['OMNIBUS_FAULTS'] === 'long' ? 200 : 5
const REPORT = process.env['OMNIBUS_FAULTS_REPORT']

describe.each([
  ['the built-in broker', true, async () => undefined],
  ['RabbitMQ', hasRabbit(), sharedRabbit],
])('F7 reload storm with messages on %s', (broker, available, busUrl) => {
  test.runIf(available)(
    'loses no request, no connection and no message, and lets nothing grow',
    async () => {
      const seen = await storm({ busUrl: await busUrl(), reloads, everyMs: 300 })
      if (REPORT !== undefined) appendFileSync(REPORT, `${JSON.stringify({ broker, ...row(seen) })}\n`)
      expect(seen).toMatchObject({ failures: [], lost: [], twice: [], consumers: 2, exitCode: 0 })
      if (seen.consumersAfter !== undefined) expect(seen.consumersAfter).toBe(0)
      for (const kind of ['keep-alive', 'closing', 'pipelined', 'slow POST', 'events', 'WebSocket'])
        expect(seen.done.get(kind), kind).toBeGreaterThan(reloads)
      const { descriptors, residentMb } = seen
      // A socket of a probe or a child that is just going may be open at either moment.
      expect(descriptors[1]).toBeLessThanOrEqual(descriptors[0] + 4)
      expect(residentMb[1]).toBeLessThan(residentMb[0] + 30)
    },
    1_800_000,
  )
})

function row({ done, failures, published, lost, twice, descriptors, residentMb }: Storm): Record<'fault' | 'did' | 'seen', string> {
  const kinds = [...done].map(([kind, count]) => `${count} ${kind}`).join(', ')
  const [from, to] = [descriptors, residentMb].map(([early, late]) => `${early} → ${late}`)
  return {
    fault: 'F7 reload storm',
    did: `${reloads} reloads, the next at once or after 300 ms, under ${kinds}, and ${published} messages`,
    seen: `${failures.length} failed or hung, ${lost.length} messages lost, ${twice.length} twice; the master's descriptors ${from}, MiB ${to}`,
  }
}
