/** An emulator of SQS and SNS behind a gate, for the test file that imports it, and connections with fanout through SNS. */
import { SNS } from '@aws-sdk/client-sns'
import { SQS } from '@aws-sdk/client-sqs'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { Connection as OwnConnection } from '../../src/core/connection.ts'
import { type Connection, type ConnectionOptions, type Exchange, bind, exchange, queue } from '../../src/index.ts'
import { createSqsTransport } from '../../src/transports/sqs/index.ts'
import { type SqsEmulator, startSqs } from '../support/sqs.ts'
import { type Gate, openGate } from './gate.ts'

export let emulator: SqsEmulator
export let gate: Gate
/** Another team's clients. */
export let sqs: SQS
export let sns: SNS

beforeAll(async () => {
  emulator = await startSqs()
  gate = await openGate(emulator.endpoint)
  const settings = { endpoint: emulator.endpoint, region: 'us-east-1', credentials: { accessKeyId: 'key', secretAccessKey: 'secret' } }
  sqs = new SQS(settings)
  sns = new SNS(settings)
})
afterAll(async () => {
  sqs.destroy()
  sns.destroy()
  await gate[Symbol.asyncDispose]()
  await emulator[Symbol.asyncDispose]()
})

let count = 0
export const unique = (name: string): string => `${name}.${++count}`
export const fanout = (name = unique('news')): Exchange => exchange(name, { type: 'fanout' })
export const mapped = (name: string): string => name.replaceAll('.', '-')
export const topicArn = (name: string): string => `arn:aws:sns:us-east-1:000000000000:${mapped(name)}`
export const queueArn = (name: string): string => `arn:aws:sqs:us-east-1:000000000000:${mapped(name)}`

/** As another process: what one declares, no other knows of but through SQS and SNS. */
export function connection(parameters = '', options: ConnectionOptions = {}): Connection {
  const transport = createSqsTransport()
  const url = new URL(`sqs://key:secret@${gate.host}/?wait_time_seconds=0&polling_interval=0.02&supports_fanout=true&${parameters}`)
  const opened = new OwnConnection([url], async () => transport, { backoff: { minMs: 10, maxMs: 50 }, ...options })
  onTestFinished(() => opened.close({ deadlineMs: 1_000 }))
  return opened
}

export async function bound(on: Connection, ...to: readonly Exchange[]): Promise<string> {
  const name = unique('bound')
  await on.declare(queue(name, { bindings: to.map((one) => bind(one)) }))
  return name
}

export const held = (name: string) => emulator.server.inspectQueue(mapped(name))!.messages.ready
