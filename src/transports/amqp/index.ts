/** RabbitMQ, and any other broker that speaks AMQP 0-9-1, at `amqp:` and `amqps:` URLs. */
import { openAmqpConnection, parseAddress } from '../../amqp/index.ts'
import type { Capabilities, OpenOptions, Session, Transport } from '../../core/transport.ts'
import { readTlsFiles } from '../kit/tls-files.ts'
import { clientProperties } from './client-properties.ts'
import { amqpSession } from './session.ts'

export const amqpCapabilities: Capabilities = Object.freeze({
  exchangeTypes: Object.freeze(['direct', 'topic', 'fanout', 'headers']),
  priorities: true,
  messageTtl: true,
  deadLetterExchange: true,
  deliveryCount: true,
  exclusiveQueues: true,
  routedKnown: true,
  directReply: true,
})

export const amqpTransport: Transport = Object.freeze({
  name: 'amqp',
  capabilities: amqpCapabilities,
  check: (url: URL) => void parseAddress(url),
  open,
})

async function open({ url, name, connectTimeoutMs, heartbeatMs, handlers, signal }: OpenOptions): Promise<Session> {
  const { target, credentials, vhost, files, ...tuning } = parseAddress(url)
  const connection = await openAmqpConnection({
    target,
    credentials,
    vhost,
    tls: await readTlsFiles(files),
    clientProperties: clientProperties(name),
    connectTimeoutMs,
    heartbeatMs,
    signal,
    handlers,
    ...tuning,
  })
  return amqpSession(connection)
}
