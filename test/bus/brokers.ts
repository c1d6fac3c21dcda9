/** The brokers every bus test runs on; the behaviour must be the same on all. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type Bus, type BusEvent, type CreateBusOptions, createBus } from '../../src/index.ts'
import { tempDir } from '../support/run-folder.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { hasRedis, sharedRedis } from '../support/shared-redis.ts'
import { sharedSqs } from '../support/shared-sqs.ts'

export interface BrokerUnderTest {
  readonly name: string
  readonly available: boolean
  /** It has queues with a single active consumer. */
  readonly single: boolean
  url(): Promise<string>
}

const builtinFolder = join(tempDir('builtin'), '.omnibus')

export const brokers: readonly BrokerUnderTest[] = [
  { name: 'memory', available: true, single: true, url: async () => `memory:${process.pid}` },
  { name: 'the built-in broker', available: true, single: true, url: async () => `omnibus://${builtinFolder}` },
  { name: 'RabbitMQ', available: hasRabbit(), single: true, url: sharedRabbit },
  { name: 'Redis', available: hasRedis(), single: true, url: sharedRedis },
  { name: 'SQS', available: true, single: false, url: sharedSqs },
]

/** A bus that is closed with the test, and what it reported. */
export async function busOn(broker: BrokerUnderTest, options: CreateBusOptions = {}): Promise<{ bus: Bus; events: BusEvent[] }> {
  const events: BusEvent[] = []
  const bus = createBus({ url: await broker.url(), onEvent: (event) => events.push(event), ...options })
  onTestFinished(() => bus.close({ deadlineMs: 2_000 }))
  return { bus, events }
}

/** A name no other test uses. */
export const unique = (name: string): string => `${name}.${randomUUID().slice(0, 8)}`
