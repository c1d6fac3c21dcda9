import { randomBytes } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import { queue } from '../../core/entities.ts'
import { ClosedError, ConnectionError } from '../../core/errors.ts'
import type { Outgoing } from '../../core/message.ts'
import type { AnswerHandlers, OpenOptions, Requester, Session } from '../../core/transport.ts'
import { type Address, describe } from './address.ts'
import { type Connector, unlessGivenUp } from './client.ts'
import { examine, PUBSUB_DEFAULT } from './durability.ts'
import { Fanout } from './fanout.ts'
import { Keeper } from './keeper.ts'
import { Link } from './link.ts'
import { Publisher } from './publisher.ts'
import { Settlements } from './settlements.ts'
import { Subscriptions } from './subscriptions.ts'
import { Topology } from './topology.ts'

/** What the sessions on one server and prefix know of each other. */
export interface Place {
  /** Sessions that died without a word: the next one ends them, so that what they held need not wait for their leases to end. */
  readonly orphans: Set<string>
  /** The server was looked at, and what it would lose was told. */
  examined: boolean
  /** More than this is not said on a channel, since Redis would cut off who listens. Bytes. */
  channelMax: number
}

export const newPlace = (): Place => ({ orphans: new Set(), examined: false, channelMax: PUBSUB_DEFAULT })

export interface RedisSessionOptions extends Omit<OpenOptions, 'url'> {
  readonly address: Address
  readonly connector: Connector
  readonly clock: Clock
  /** Of where it has led; asked for once. */
  readonly placeOf: (cluster: boolean) => Place
}

/** A Redis that does not answer a goodbye in this time gets none. Milliseconds. */
const GOODBYE_MS = 5_000

/** A part of the heartbeat, three of which may be silent, and of the lease: what may be on its way for so long keeps neither waiting. */
const answerWithin = (heartbeatMs: number, leaseMs: number): number => Math.min(heartbeatMs === 0 ? leaseMs : heartbeatMs, leaseMs) / 4

export async function redisSession(options: RedisSessionOptions): Promise<Session> {
  const { address, clock, handlers, placeOf } = options
  const { names, pollMs, fanoutPubsub } = address
  const session = `omnibus-${randomBytes(8).toString('hex')}`
  let begun: Place | undefined
  let state: 'opening' | 'open' | 'closing' | 'closed' | 'destroyed' = 'opening'
  const link = await Link.open({
    ...options,
    session,
    warned: (reason) => handlers.warned?.(`${describe(address)}: ${reason}`),
    answerWithinMs: answerWithin(options.heartbeatMs, address.leaseMs),
    died(reason) {
      begun?.orphans.add(session)
      // Else opening it rejects.
      if (state !== 'opening') handlers.died(reason)
    },
  })
  const place = (begun = placeOf(link.cluster))
  const keeper = new Keeper({
    link,
    address,
    clock,
    orphans: place.orphans,
    held: () => subscriptions.held,
    consuming: () => subscriptions.consuming,
  })
  const settlements = new Settlements(link, keeper.hurry)
  const subscriptions = new Subscriptions({
    link,
    session,
    settlements,
    clock,
    pollMs,
    names,
    bell: `${names.prefix}_omnibus.bell.${session}`,
    onUnreadable: (name, error) =>
      handlers.warned?.(
        `A message in queue "${name}" cannot be read, and was put into ${names.prefix}_omnibus.dead.${name}: ${String(error)}`,
      ),
  })
  let numbered = 0
  const publisherOptions = {
    link,
    sep: names.sep,
    fanoutPrefix: fanoutPubsub ? names.fanoutPrefix : undefined,
    channelMax: () => place.channelMax,
    onNotSaid: (exchange: string, bytes: number) =>
      handlers.warned?.(
        `A message of ${bytes} bytes to fanout exchange "${exchange}" is in the queues bound to it, but was not said on Kombu's channel: Redis cuts off who listens at client-output-buffer-limit pubsub`,
      ),
    numbers: (count: number) => (numbered += count) - count,
  }
  const publisher = new Publisher(publisherOptions)
  const fanout = fanoutPubsub ? new Fanout(link, names.prefix + names.fanoutPrefix) : undefined
  const topology = new Topology(link, session, names.sep)
  const begin = async (): Promise<void> => {
    await link.ask('begin', String(address.leaseMs))
    keeper.start()
    if (place.examined) return
    place.examined = true
    const { losses, pubsubLimit } = await examine(link)
    place.channelMax = pubsubLimit
    for (const loss of losses) handlers.warned?.(`${describe(address)} may lose messages: ${loss}`)
  }
  await unlessGivenUp(options.signal, () => link.die(options.signal.reason), begin)
  state = 'open'

  const run = async <T>(operation: () => Promise<T>): Promise<T> => {
    if (state === 'open' && link.open) return operation()
    if (state === 'destroyed' || state === 'open') throw new ConnectionError(`The session on ${describe(address)} is over`)
    throw new ClosedError('The Redis session is closed')
  }

  const requests = (answers: AnswerHandlers): Requester => {
    const replyTo = queue(`${session}.answers`, { exclusive: true })
    const requester = new Publisher(publisherOptions)
    const listening = async (): Promise<void> => {
      await topology.declareQueue(replyTo)
      const alone = { prefetch: 0, exclusive: true, noAck: true, arguments: {}, onCancelled: () => undefined }
      await subscriptions.subscribe({ ...alone, queue: replyTo.name, onDelivery: (answer) => answers.onAnswer(answer) })
    }
    let ready: Promise<void> | undefined
    return {
      publish(messages, settled) {
        const sources = new Map<Outgoing, Outgoing>()
        for (const message of messages) {
          sources.set({ ...message, properties: { ...message.properties, replyTo: replyTo.name } }, message)
        }
        ready ??= listening()
        ready.then(
          () => requester.publish([...sources.keys()], (message, result) => settled(sources.get(message)!, result)),
          // The session has died of it.
          () => undefined,
        )
      },
    }
  }

  const close = async (): Promise<void> => {
    if (state !== 'open') return
    state = 'closing'
    const late = Promise.withResolvers<void>()
    const timer = clock.after(GOODBYE_MS, late.resolve, { unref: true })
    const said = await Promise.race([sayGoodbye().then(() => true), late.promise.then(() => false)])
    timer.cancel()
    if (!said) {
      place.orphans.add(session)
      link.destroy()
    }
    if (state === 'closing') state = 'closed'
  }
  const sayGoodbye = async (): Promise<void> => {
    if (!link.open) return
    await Promise.all([publisher.close(), subscriptions.stop(), keeper.stop()])
    await settlements.flush()
    if (link.open) await link.run('leave').catch(() => place.orphans.add(session))
    await link.close()
  }
  let closed: Promise<void> | undefined

  return {
    declareExchange: (exchange) => run(() => topology.declareExchange(exchange)),
    declareQueue: (declared) =>
      run(async () => {
        const queueState = await topology.declareQueue(declared)
        fanout?.declared(declared, queueState.name)
        return queueState
      }),
    unbind: (name, exchange, routingKey, bindingArguments) => run(() => topology.unbind(name, exchange, routingKey, bindingArguments)),
    publish(messages, settled) {
      if (state === 'open') publisher.publish(messages, settled)
    },
    requests,
    subscribe: (subscribed) =>
      run(async () => {
        await fanout?.consumed(subscribed.queue)
        return subscriptions.subscribe(subscribed)
      }),
    get: (name) => run(() => subscriptions.get(name)),
    inspect: (name) => run(() => topology.inspect(name)),
    purge: (name) => run(() => topology.purge(name)),
    deleteQueue: (name) => run(() => topology.deleteQueue(name)),
    deleteExchange: (exchange) => run(() => topology.deleteExchange(exchange)),
    get lastHeardAt() {
      return link.lastHeardAt
    },
    close: () => (closed ??= close()),
    destroy() {
      if (state === 'closed' || state === 'destroyed') return
      state = 'destroyed'
      place.orphans.add(session)
      link.destroy()
      keeper.stop().catch(() => undefined)
    },
  }
}
