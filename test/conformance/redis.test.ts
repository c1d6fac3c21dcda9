import { describe, it } from 'vitest'
import { conformanceSuite } from '../../src/testing/index.ts'
import { createRedisTransport } from '../../src/transports/redis/index.ts'
import { leastRights } from '../support/redis.ts'
import { hasRedis, sharedRedis } from '../support/shared-redis.ts'

if (!hasRedis()) describe('Redis', () => it.skip('is not there'))
else
  conformanceSuite({
    name: 'Redis, with the least rights',
    transport: createRedisTransport(),
    url: async () => leastRights(await sharedRedis()),
    describe,
    it,
  })
