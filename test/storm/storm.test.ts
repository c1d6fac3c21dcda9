/** The reload storm: in the tests a short one; `npm run faults` has the long one, and writes what it saw into docs/reliability.md. */
import { appendFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { HTTP1 } from './clients.ts'
import { HTTP2 } from './http2-clients.ts'
import { nextServer } from './next.ts'
import { type Storm, storm } from './storm.ts'

const isLong = process.env['OMNIBUS_FAULTS'] === 'long'
const REPORT = process.env['OMNIBUS_FAULTS_REPORT']

const PLAIN = { entry: async () => './web.ts', clients: HTTP1, kind: 'process', broker: 'the built-in broker' } as const
const FOR_NEXT = ['keep-alive', 'closing', 'slow POST', 'events']

describe.each([
  { ...PLAIN, fault: 'F7 reload storm', reloads: isLong ? 200 : 5 },
  { ...PLAIN, fault: 'F7 reload storm', broker: 'RabbitMQ', reloads: isLong ? 200 : 5 },
  { ...PLAIN, fault: 'F7 reload storm, threads', kind: 'thread', reloads: isLong ? 50 : 3 },
  { ...PLAIN, fault: 'F7 reload storm, HTTP/2', entry: async () => './http2.ts', clients: HTTP2, reloads: isLong ? 50 : 3 },
  // Installing and building it takes minutes.
  {
    ...PLAIN,
    fault: 'F7 reload storm, Next',
    entry: nextServer,
    clients: HTTP1.filter(({ name }) => FOR_NEXT.includes(name)),
    reloads: isLong ? 50 : 0,
  },
] as const)('$fault with messages on $broker', ({ fault, broker, entry, clients, kind, reloads }) => {
  test.runIf(reloads > 0 && (broker !== 'RabbitMQ' || hasRabbit()))(
    'loses no request, no connection and no message, and lets nothing grow',
    async () => {
      const busUrl = broker === 'RabbitMQ' ? await sharedRabbit() : undefined
      const seen = await storm({ busUrl, entry: await entry(), clients, kind, reloads, everyMs: 300 })
      if (REPORT !== undefined) appendFileSync(REPORT, `${JSON.stringify({ fault, broker, ...row(seen, reloads) })}\n`)
      expect(seen).toMatchObject({ failures: [], lost: [], twice: [], consumers: 2, exitCode: 0 })
      if (seen.consumersAfter !== undefined) expect(seen.consumersAfter).toBe(0)
      for (const { name } of clients) expect(seen.done.get(name), name).toBeGreaterThan(reloads)
      const { descriptors, residentMb } = seen
      // A socket of a probe or a child that is just going may be open at either moment.
      expect(descriptors[1]).toBeLessThanOrEqual(descriptors[0] + 4)
      expect(residentMb[1]).toBeLessThan(residentMb[0] + 30)
    },
    1_800_000,
  )
})

function row(seen: Storm, reloads: number): Record<'did' | 'seen', string> {
  const { done, failures, published, lost, twice, descriptors, residentMb } = seen
  const kinds = [...done].map(([kind, count]) => `${count} ${kind}`).join(', ')
  const [from, to] = [descriptors, residentMb].map(([early, late]) => `${early} → ${late}`)
  return {
    did: `${reloads} reloads, the next at once or after 300 ms, under ${kinds}, and ${published} messages`,
    seen: `${failures.length} failed or hung, ${lost.length} messages lost, ${twice.length} twice; the master's descriptors ${from}, MiB ${to}`,
  }
}
