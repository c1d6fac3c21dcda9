/** RabbitMQ, and any other broker that speaks AMQP 0-9-1, at `amqp:` and `amqps:` URLs. */
import { readFile } from 'node:fs/promises'
import { openAmqpConnection, parseAddress, type TlsMaterial } from '../../amqp/index.ts'
import { ConnectionError, messageOf } from '../../core/errors.ts'
import type { Capabilities, OpenOptions, Session, Transport } from '../../core/transport.ts'
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

export const amqpTransport: Transport = Object.freeze({ name: 'amqp', capabilities: amqpCapabilities, open })

async function open({ url, name, connectTimeoutMs, heartbeatMs, handlers, signal }: OpenOptions): Promise<Session> {
  const { target, credentials, vhost, files, ...tuning } = parseAddress(url)
  const connection = await openAmqpConnection({
    target,
    credentials,
    vhost,
    tls: await readFiles(files),
    clientProperties: clientProperties(name),
    connectTimeoutMs,
    heartbeatMs,
    signal,
    handlers,
    ...tuning,
  })
  return amqpSession(connection)
}

/** PEM files named in the URL; missing ones may appear later, so that trying again can help. */
async function readFiles(files: Readonly<Record<string, string>>): Promise<TlsMaterial> {
  const read = async ([key, path]: [string, string]): Promise<[string, Buffer]> => {
    try {
      return [key, await readFile(path)]
    } catch (cause) {
      throw new ConnectionError(`The TLS file ${path} named in the URL cannot be read: ${messageOf(cause)}`, { cause })
    }
  }
  return Object.fromEntries(await Promise.all(Object.entries(files).map(read)))
}
