/** AWS's own client alone, in batches of ten, in a process of its own: `run-sdk.ts publish|consume URL QUEUE IN-FLIGHT COUNT`, as run-client.ts. */
import { SQS } from '@aws-sdk/client-sqs'
import { check, meter, payloadOf } from '../amqp/workload.ts'

const BATCH = 10
const [operation = '', url = '', name = '', first = '', second = ''] = process.argv.slice(2)
const [inFlight, count] = [Number(first), Number(second)]
const { host, username, password } = new URL(url)
const sqs = new SQS({
  endpoint: `http://${host}`,
  region: 'us-east-1',
  credentials: { accessKeyId: username, secretAccessKey: password },
  useQueueUrlAsEndpoint: false,
})
const payload = payloadOf(256)
const { tick, measured } = meter(count)
const { QueueUrl } = await sqs.getQueueUrl({ QueueName: name.replaceAll('.', '-') })

/** Polls and batches under way at a time, as many as ours has. */
const LANES = 4

const operations: Readonly<Record<string, () => Promise<void>>> = {
  async publish() {
    let left = count
    const MessageBody = JSON.stringify(payload)
    while (left > 0) {
      const lane = async (): Promise<void> => {
        const size = Math.min(BATCH, left)
        left -= size
        if (size === 0) return
        await sqs.sendMessageBatch({ QueueUrl, Entries: Array.from({ length: size }, (_, i) => ({ Id: String(i), MessageBody })) })
        for (let i = 0; i < size; i++) tick()
      }
      await Promise.all(Array.from({ length: Math.min(LANES, inFlight / BATCH) }, lane))
    }
  },
  async consume() {
    let done = false
    const lane = async (): Promise<void> => {
      while (!done) {
        const { Messages: messages = [] } = await sqs.receiveMessage({ QueueUrl, MaxNumberOfMessages: BATCH })
        if (messages.length === 0) continue
        const Entries = messages.map(({ Body = '', ReceiptHandle }, i) => {
          check(JSON.parse(Body), payload)
          return { Id: String(i), ReceiptHandle }
        })
        await sqs.deleteMessageBatch({ QueueUrl, Entries })
        for (const _ of Entries) done = tick() || done
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
  },
}

const run = operations[operation]
if (!run) throw new Error(`operation: expected one of ${Object.keys(operations).join(', ')}, got "${operation}"`)
await run()
process.stdout.write(`${JSON.stringify(measured())}\n`)
process.exit(0)
