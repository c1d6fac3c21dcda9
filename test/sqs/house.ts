/** An emulator of SQS with a gate in front of it, which answers what the emulator cannot show, and clients of both kinds. */
import { SQS } from '@aws-sdk/client-sqs'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { type Connection, type ConnectionOptions, type Delivery, type Queue, queue } from '../../src/index.ts'
import { Connection as OwnConnection } from '../../src/core/connection.ts'
import { createSqsTransport } from '../../src/transports/sqs/index.ts'
import { type SqsEmulator, startSqs } from '../support/sqs.ts'
import { type Gate, openGate } from './gate.ts'

export let emulator: SqsEmulator
export let gate: Gate
/** Another team's client. */
export let other: SQS

beforeAll(async () => {
  emulator = await startSqs()
  gate = await openGate(emulator.endpoint)
  other = new SQS({ endpoint: emulator.endpoint, region: 'us-east-1', credentials: { accessKeyId: 'key', secretAccessKey: 'secret' } })
})
afterAll(async () => {
  other.destroy()
  await gate[Symbol.asyncDispose]()
  await emulator[Symbol.asyncDispose]()
})

let count = 0
export const unique = (name: string): string => `${name}-${++count}`

/** With its own knowledge of bindings, as another process has it. */
export function connection(parameters = '', options: ConnectionOptions = {}): Connection {
  const transport = createSqsTransport()
  const url = new URL(`sqs://key:secret@${gate.host}/?wait_time_seconds=0&polling_interval=0.02&${parameters}`)
  const opened = new OwnConnection([url], async () => transport, options)
  onTestFinished(() => opened.close({ deadlineMs: 1_000 }))
  return opened
}

/** What comes, acked. */
export async function consuming(
  on: Connection,
  from: Queue | string,
  handler: (delivery: Delivery) => unknown = (delivery) => delivery.ack(),
) {
  const seen: Delivery[] = []
  const consumer = await on.consume(typeof from === 'string' ? queue(from) : from, async (delivery) => {
    seen.push(delivery)
    await handler(delivery)
  })
  return { seen, consumer, texts: () => seen.map((delivery) => delivery.text()) }
}

export const urlOf = async (name: string): Promise<string> => (await other.getQueueUrl({ QueueName: name })).QueueUrl!

export const held = (name: string) => emulator.server.inspectQueue(name)!.messages
