/** What depends on the client library; CONFORMANCE=all runs the rest, too. */
import { Redis } from 'ioredis'
import { describe, it } from 'vitest'
import { conformanceSuite } from '../../src/testing/index.ts'
import { redisWith } from '../../src/transports/redis/with.ts'
import { leastRights } from '../support/redis.ts'
import { hasRedis, sharedRedis } from '../support/shared-redis.ts'

const PARTS = ['publishing', 'settling', 'bodies and headers', 'recovery through Connection', 'requests through Connection']

if (!hasRedis()) describe('Redis by ioredis', () => it.skip('is not there'))
else {
  const client = new Redis(await leastRights(await sharedRedis()), { lazyConnect: true })
  const { transport, url } = redisWith(client)
  const all = process.env['CONFORMANCE'] === 'all'
  conformanceSuite({
    name: 'Redis by ioredis, with the least rights',
    transport,
    url: () => url,
    describe: (part, body) => (all || PARTS.includes(part) || part.startsWith('Redis') ? describe(part, body) : undefined),
    it,
  })
}
