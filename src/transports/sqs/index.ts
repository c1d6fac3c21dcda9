/** Amazon SQS, and what behaves like it, at `sqs:` URLs. Its messages are Kombu's, so that Python may stand at the other end of any queue. */
import { type Clock, systemClock } from '../../core/clock.ts'
import { ConnectionError } from '../../core/errors.ts'
import { requirePeer } from '../../core/peer.ts'
import type { Capabilities, OpenOptions, Transport } from '../../core/transport.ts'
import { type Address, parseAddress } from './address.ts'
import { type Client, SNS_SDK, SQS_SDK, sqsClient } from './client.ts'
import { Directory } from './directory.ts'
import { SqsFailure } from './failure.ts'
import { Identities } from './message.ts'
import { type SqsSession, sqsSession } from './session.ts'

const capabilities: Capabilities = Object.freeze({
  exchangeTypes: Object.freeze(['direct', 'topic', 'fanout', 'headers']),
  priorities: false,
  // Only for waiting queues, and for the expiration of a message where somebody fetches it.
  messageTtl: false,
  deadLetterExchange: true,
  deliveryCount: true,
  exclusiveQueues: true,
  routedKnown: true,
  directReply: true,
})

/** A transport with directories of its own: sessions of the same URL share one, which lives as long as the transport. */
export function createSqsTransport(clock: Clock = systemClock): Transport {
  const directories = new Map<string, Directory>()
  const identities = new Identities()
  return Object.freeze({
    name: 'sqs',
    capabilities,
    check(url) {
      if (parseAddress(url).sns) requirePeer(SNS_SDK)
      requirePeer(SQS_SDK)
    },
    async open(options) {
      options.signal.throwIfAborted()
      const address = parseAddress(options.url)
      const directory = directories.get(options.url.href) ?? new Directory()
      directories.set(options.url.href, directory)
      // A poll that is longer than the watchdog's patience would be taken for silence.
      const patience = options.heartbeatMs === 0 ? Infinity : Math.max(1, Math.floor((options.heartbeatMs * 2) / 1_000))
      const wait = Math.min(address.waitTime, patience)
      let session: SqsSession | undefined
      const client = await sqsClient({
        address,
        connectTimeoutMs: options.connectTimeoutMs,
        waitTime: wait,
        clock,
        onDied: (reason) => {
          if (!session) return
          session.dead()
          options.handlers.died(reason)
        },
      })
      await reach(client, address, options, clock)
      session = sqsSession({ client, address, directory, identities, wait, clock })
      return session
    },
  } satisfies Transport)
}

/** The one the URL table uses. */
export const sqsTransport: Transport = createSqsTransport()

/** Asks something, for SQS has no login: it tells whether somebody answers there, and takes our keys. */
async function reach(client: Client, address: Address, { connectTimeoutMs, signal }: OpenOptions, clock: Clock): Promise<void> {
  const given = Promise.withResolvers<never>()
  const timer = clock.after(connectTimeoutMs, () =>
    given.reject(new ConnectionError(`${client.where} did not answer within ${connectTimeoutMs} ms`)),
  )
  const onAbort = (): void => given.reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([greet(client, address), given.promise])
  } catch (error) {
    client.close()
    throw error
  } finally {
    timer.cancel()
    signal.removeEventListener('abort', onAbort)
  }
}

async function greet(client: Client, { predefined }: Address): Promise<void> {
  const [first] = predefined?.values() ?? []
  try {
    if (first === undefined) await client.call((sqs) => sqs.listQueues({ MaxResults: 1 }))
    else await client.call((sqs) => sqs.getQueueAttributes({ QueueUrl: first, AttributeNames: ['QueueArn'] }))
  } catch (error) {
    // Whatever it is: it was an answer, to somebody it knows.
    if (!(error instanceof SqsFailure)) throw error
  }
}
