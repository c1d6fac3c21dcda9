/** One consumer thread. */
import { once } from 'node:events'
import { parentPort, workerData } from 'node:worker_threads'
import { connect, type Delivery } from 'omnibus'
import { myapp } from './contracts.ts'

const { number } = workerData as { number: number }
const log = (text: string): void => console.log(`event-bus ${process.pid}/${number}: ${text}`)

async function onDelivery(delivery: Delivery): Promise<void> {
  let message: unknown
  try {
    message = JSON.parse(delivery.text())
  } catch (error) {
    log(`rejected what is no JSON: ${String(error)}`)
    await delivery.reject()
    return
  }
  log(`received ${JSON.stringify(message)}`)
  await handle(message)
  // Last, so that a message is never lost: if this thread dies before, another one gets it.
  await delivery.ack()
}

/** What the app does with a message. A message may come twice. */
async function handle(message: unknown): Promise<void> {
  const text = typeof message === 'object' && message !== null && 'text' in message ? message.text : message
  log(`handled: ${String(text)}`)
}

const connection = connect()
await connection.consume(myapp, onDelivery, { prefetch: 100 })
log('consuming')
if (parentPort) {
  parentPort.postMessage('consuming')
  await once(parentPort, 'message')
  // Told to stop: finishes what it holds, and says goodbye to the broker.
  await connection.close()
  log('stopped')
}
