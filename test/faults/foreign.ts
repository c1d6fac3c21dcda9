/** Puts messages into a queue as a client would that minds none of our limits, in the broker's own terms. */
import { SQS } from '@aws-sdk/client-sqs'
import { createClient } from 'redis'
import { openAmqpConnection, parseAddress } from '../../src/amqp/index.ts'
import type { MessageProperties } from '../../src/core/message.ts'

export interface Foreign extends AsyncDisposable {
  /** `type` says what event the message is; its header `deep` holds a list in a list in a list … */
  putDeep(queue: string, type: string, depth: number): Promise<void>
  /** Takes what could not be read, where that is kept apart from dead letters. */
  takeUnreadable?(queue: string): Promise<readonly string[]>
}

export async function foreignTo(url: string): Promise<Foreign> {
  const { protocol } = new URL(url)
  if (protocol === 'sqs:') return onSqs(sqsClient(url))
  return protocol === 'redis:' ? onRedis(url) : onAmqp(url)
}

export function sqsClient(url: string): SQS {
  const { host, username, password } = new URL(url)
  return new SQS({ endpoint: `http://${host}`, region: 'us-east-1', credentials: { accessKeyId: username, secretAccessKey: password } })
}

/** As text: what would write such a value gives up far sooner. */
export const nestedJson = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`

const envelope = (queue: string, type: string, depth: number): string =>
  `{"body":"e30=","content-type":"application/json","content-encoding":"utf-8","headers":{"deep":${nestedJson(depth)}},"properties":${JSON.stringify(
    { type, body_encoding: 'base64', delivery_tag: `${Math.random()}`, delivery_info: { exchange: '', routing_key: queue } },
  )}}`

function onSqs(sqs: SQS): Foreign {
  return {
    async putDeep(queue, type, depth) {
      const { QueueUrl } = await sqs.getQueueUrl({ QueueName: queue.replaceAll('.', '-') })
      await sqs.sendMessage({ QueueUrl, MessageBody: envelope(queue, type, depth) })
    },
    [Symbol.asyncDispose]: async () => sqs.destroy(),
  }
}

async function onRedis(url: string): Promise<Foreign> {
  const client = await createClient({ url: url.replace(/\?.*/, '') }).connect()
  return {
    putDeep: async (queue, type, depth) => void (await client.lPush(queue, envelope(queue, type, depth))),
    async takeUnreadable(queue) {
      const key = `_omnibus.dead.${queue}`
      const kept = await client.lRange(key, 0, -1)
      await client.del(key)
      return kept
    },
    [Symbol.asyncDispose]: () => client.close(),
  }
}

async function onAmqp(url: string): Promise<Foreign> {
  const connection = await openAmqpConnection({
    ...parseAddress(new URL(url)),
    clientProperties: {},
    connectTimeoutMs: 10_000,
    heartbeatMs: 0,
    signal: new AbortController().signal,
    handlers: { died: () => undefined, blocked: () => undefined, unblocked: () => undefined },
  })
  const channel = await connection.openChannel({})
  return {
    async putDeep(routingKey, type, depth) {
      // Our writer refuses such headers, and passes bytes on as they are.
      channel.publish({ exchange: '', routingKey }, deepProperties(type, depth) as MessageProperties, Buffer.from('{}'))
      await channel.call('basic.qos', { prefetchSize: 0, prefetchCount: 1 })
    },
    [Symbol.asyncDispose]: () => connection.close(),
  }
}

/** Property flags, headers and type as AMQP 0-9-1 has them (§4.2.6.1, §4.2.5.5). */
function deepProperties(type: string, depth: number): Buffer {
  const entry = Buffer.concat([Buffer.from([4]), Buffer.from('deep')])
  const lists = Buffer.alloc(5 * depth)
  for (let at = 0; at < lists.length; at += 5) {
    lists.write('A', at)
    lists.writeUInt32BE(lists.length - at - 5, at + 1)
  }
  const flags = Buffer.alloc(2)
  flags.writeUInt16BE((1 << 13) | (1 << 5))
  const size = Buffer.alloc(4)
  size.writeUInt32BE(entry.length + lists.length)
  return Buffer.concat([flags, size, entry, lists, Buffer.from([type.length]), Buffer.from(type)])
}
