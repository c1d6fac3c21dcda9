import { describe, it } from 'vitest'
import { conformanceSuite } from '../../src/testing/index.ts'
import { createRedisTransport } from '../../src/transports/redis/index.ts'
import { hasRedis, sharedRedis } from '../support/shared-redis.ts'

if (!hasRedis()) describe('Redis', () => it.skip('is not there'))
else conformanceSuite({ name: 'Redis', transport: createRedisTransport(), url: sharedRedis, describe, it })
