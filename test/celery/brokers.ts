/** Where Celery and we meet: each broker, as either side is told of it. */
import { startBroker } from '../support/broker.ts'
import { have } from '../support/packages.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { hasRedis, sharedRedis } from '../support/shared-redis.ts'
import { startSqs } from '../support/sqs.ts'
import { startQueryFront } from '../support/sqs-query.ts'
import type { CeleryOptions } from './peers.ts'

export interface Meeting extends AsyncDisposable {
  /** Of the broker, for us. */
  readonly url: string
  /** Where results are kept; undefined: they are messages. */
  readonly results?: string
  readonly python: Omit<CeleryOptions, 'queue'>
}

interface CeleryBroker {
  readonly name: string
  readonly available: boolean
  meet(): Promise<Meeting>
}

const nothing = async (): Promise<void> => undefined

export const brokers: readonly CeleryBroker[] = [
  {
    name: 'the built-in broker',
    available: true,
    async meet() {
      const broker = await startBroker()
      return { url: broker.tcpUrl, python: { broker: broker.tcpUrl }, [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose]() }
    },
  },
  {
    name: 'RabbitMQ',
    available: hasRabbit(),
    async meet() {
      const url = await sharedRabbit()
      return { url, python: { broker: url }, [Symbol.asyncDispose]: nothing }
    },
  },
  {
    name: 'Redis',
    available: hasRedis(),
    async meet() {
      const url = await sharedRedis()
      return { url, results: url, python: { broker: url, backend: url }, [Symbol.asyncDispose]: nothing }
    },
  },
  {
    name: 'SQS',
    available: hasRedis() && have('python3-boto3', 'python3-pycurl'),
    async meet() {
      const emulator = await startSqs()
      const front = await startQueryFront(emulator.endpoint)
      const results = await sharedRedis()
      const transport = { region: 'us-east-1', is_secure: false, wait_time_seconds: 1, polling_interval: 0.1 }
      return {
        url: emulator.url,
        results,
        python: { broker: `sqs://key:secret@${front.host}`, backend: results, transport },
        async [Symbol.asyncDispose]() {
          await front[Symbol.asyncDispose]()
          await emulator[Symbol.asyncDispose]()
        },
      }
    },
  },
].map((broker) => ({ ...broker, available: broker.available && have('python3-celery') }))
