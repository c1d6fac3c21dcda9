import type { Clock, Timer } from '../../core/clock.ts'
import { ClosedError, ConnectionError } from '../../core/errors.ts'
import type { Session, SubscribeOptions, Subscription } from '../../core/transport.ts'
import type { Address } from './address.ts'
import type { Client } from './client.ts'
import { DeadLetters } from './dead-letters.ts'
import type { Directory } from './directory.ts'
import { Holding } from './held.ts'
import type { Identities } from './message.ts'
import { Publisher } from './publisher.ts'
import { Receiver } from './receiver.ts'
import { requester } from './requester.ts'
import { type SqsSubscription, subscribe } from './subscription.ts'
import { Topology } from './topology.ts'

export interface SqsSessionOptions {
  readonly client: Client
  readonly address: Address
  readonly directory: Directory
  readonly identities: Identities
  /** Of a long poll. Seconds. */
  readonly wait: number
  readonly clock: Clock
}

/** Any time: see `stayAlive`. Milliseconds. */
const LONG_MS = 3_600_000
/** How long one fetch looks: a short poll asks only some of SQS's servers, and may miss what is there. Seconds. */
const FETCH_WAIT = 1

export interface SqsSession extends Session {
  /** SQS does not answer any more. */
  dead(): void
}

/** SQS has no links to speak of: a session is what we hold and what we poll. */
export function sqsSession({ client, address, directory, identities, wait, clock }: SqsSessionOptions): SqsSession {
  const topology = new Topology(client, directory, address, clock)
  const publisher = new Publisher({ client, topology, address, identities, clock })
  const holding = new Holding({ client, clock, lease: address.lease })
  const deadLetters = new DeadLetters({ client, directory, topology, publisher, holding })
  const receiver = new Receiver({ client, holding, deadLetters, address, clock })
  const polling = { client, receiver, topology, clock, wait, pollingIntervalMs: address.pollingIntervalMs }
  const subscriptions = new Map<SqsSubscription, () => void>()
  let open = true
  let isDead = false
  let closing: Promise<void> | undefined

  let alive: Timer
  /** As an open socket does for other brokers: a process that has not closed its connection goes on. */
  const stayAlive = (): void => {
    alive = clock.after(LONG_MS, stayAlive)
  }
  stayAlive()

  const run = async <T>(operation: () => Promise<T>): Promise<T> => {
    if (isDead) throw new ConnectionError('The SQS session is dead')
    if (!open) throw new ClosedError('The SQS session is closed')
    return operation()
  }

  const stop = (): void => {
    open = false
    isDead = true
    alive.cancel()
    for (const [subscription, forget] of subscriptions) {
      subscription.stop()
      forget()
    }
  }

  const close = async (): Promise<void> => {
    open = false
    await Promise.all([...subscriptions].map(([subscription, forget]) => subscription.cancel().finally(forget)))
    await holding.end()
    await topology.end()
    client.close()
    alive.cancel()
  }

  const listen = async (options: SubscribeOptions): Promise<Subscription> => {
    const name = topology.nameOf(options.queue)
    let counted = true
    const forget = (): void => {
      subscriptions.delete(subscription)
      if (counted) directory.countConsumer(name, -1)
      counted = false
    }
    const onCancelled = (reason: string): void => {
      forget()
      options.onCancelled(reason)
    }
    const subscription = await subscribe({ ...options, onCancelled }, polling)
    directory.countConsumer(name, 1)
    subscriptions.set(subscription, forget)
    return { cancel: () => subscription.cancel().finally(forget) }
  }

  const publish: Session['publish'] = (messages, settled) => {
    if (open) publisher.publish(messages, (message, result) => client.open && settled(message, result))
  }

  return {
    declareExchange: (exchange) => run(() => topology.declareExchange(exchange)),
    declareQueue: (queue) => run(() => topology.declareQueue(queue)),
    unbind: (queue, exchange, routingKey, bindingArguments) => run(() => topology.unbind(queue, exchange, routingKey, bindingArguments)),
    publish,
    requests: (handlers) => requester({ topology, listen, publish }, handlers),
    subscribe: (options) => run(() => listen(options)),
    get: (queue) =>
      run(async () => {
        const source = { url: await topology.urlOf(queue), queue }
        try {
          for (;;) {
            const [message] = await receiver.receive(source, { most: 1, wait: Math.min(FETCH_WAIT, wait) })
            const incoming = message && receiver.take(source, message)
            if (!message || incoming) return incoming
          }
        } catch (error) {
          throw topology.refused('Fetching from', queue, source.url, error)
        }
      }),
    inspect: (queue) => run(() => topology.inspect(queue)),
    inspectExchange: (exchange) => run(() => topology.inspectExchange(exchange)),
    purge: (queue) =>
      run(async () => {
        const source = { url: await topology.urlOf(queue), queue }
        try {
          return await receiver.purge(source)
        } catch (error) {
          throw topology.refused('Purging', queue, source.url, error)
        }
      }),
    deleteQueue: (queue) => run(() => topology.deleteQueue(queue)),
    deleteExchange: (exchange) => run(() => topology.deleteExchange(exchange)),
    get lastHeardAt() {
      return client.lastHeardAt
    },
    close: () => (closing ??= client.open ? close() : Promise.resolve()),
    destroy() {
      if (closing || !client.open) return
      closing = Promise.resolve()
      stop()
      // What is held need not wait for the end of its lease: where SQS still hears us, others have it at once.
      client.leave()
      void Promise.all([holding.end(), topology.end()]).then(() => client.close())
    },
    dead: stop,
  }
}
