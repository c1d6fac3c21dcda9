import { describe, it } from 'vitest'
import { conformanceSuite } from '../../src/testing/index.ts'
import { amqpTransport } from '../../src/transports/amqp/index.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { rabbitClassic, rabbitQuorum } from './exemptions.ts'

const common = { transport: amqpTransport, url: sharedRabbit, describe, it }

if (!hasRabbit()) describe('RabbitMQ', () => it.skip('is not there'))
else {
  conformanceSuite({ name: 'RabbitMQ, classic queues', ...common, known: rabbitClassic })
  conformanceSuite({ name: 'RabbitMQ, quorum queues', ...common, queueType: 'quorum', known: rabbitQuorum })
}
