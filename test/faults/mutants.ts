/** Brokers and consumers with one fault each, to see whether the checker of the ledger notices. */
import type { Outgoing, PublishResult } from '../../src/core/message.ts'
import type { Incoming, Session, Transport } from '../../src/core/transport.ts'

export type Mutant =
  | 'acks before handling'
  | 'drops one in ten thousand'
  | 'confirms before keeping'
  | 'delivers twice'
  | 'forgets redelivery'
  | 'reorders'
  | 'swallows returns'
  | 'loses a wake-up'

export function mutated(inner: Transport, mutant: Mutant | undefined): Transport {
  return {
    ...inner,
    async open(options) {
      const session = await inner.open(options)
      if (mutant === undefined) return session
      const { publish, lostWith } = publishing(session, mutant)
      return {
        ...session,
        get lastHeardAt() {
          return session.lastHeardAt
        },
        publish,
        subscribe: async (wishes) => {
          const subscription = await session.subscribe({ ...wishes, onDelivery: delivering(mutant, wishes.onDelivery, () => forget()) })
          const forget = (): void => void subscription.cancel()
          return subscription
        },
        destroy() {
          lostWith()
          session.destroy()
        },
      }
    },
  }
}

/** Every so often, so that a run of ten thousand meets it once. */
const RARE = 5_000

function delivering(mutant: Mutant, pass: (delivery: Incoming) => void, forget: () => void): (delivery: Incoming) => void {
  let count = 0
  let held: Incoming | undefined
  return (delivery) => {
    count++
    switch (mutant) {
      case 'drops one in ten thousand':
        if (count % RARE === 0) return void delivery.settle('ack')
        return pass(delivery)
      case 'delivers twice':
        pass(delivery)
        if (count % RARE === 0) pass(detached(delivery))
        return
      case 'forgets redelivery':
        return pass({ ...plain(delivery), settle: (how) => delivery.settle(how === 'requeue' ? 'ack' : how) })
      case 'reorders':
        if (count % RARE === 0 && !held) return void (held = delivery)
        pass(delivery)
        if (held) pass(held)
        held = undefined
        return
      case 'loses a wake-up':
        if (count === RARE) forget()
        return pass(delivery)
      default:
        return pass(delivery)
    }
  }
}

function publishing(session: Session, mutant: Mutant): { publish: Session['publish']; lostWith: () => void } {
  const unkept: Outgoing[] = []
  const ignore = (): void => undefined
  const publish: Session['publish'] = (messages, settled) => {
    if (mutant === 'swallows returns') {
      return session.publish(messages, (message, result: PublishResult) =>
        settled(message, result.status === 'confirmed' ? { ...result, routed: true } : result),
      )
    }
    if (mutant !== 'confirms before keeping') return session.publish(messages, settled)
    unkept.push(...messages)
    queueMicrotask(() => {
      for (const message of messages) settled(message, { status: 'confirmed', routed: true })
    })
    if (unkept.length >= 50) session.publish(unkept.splice(0), ignore)
    else setImmediate(() => setTimeout(() => unkept.length > 0 && session.publish(unkept.splice(0), ignore), 5))
  }
  return { publish, lostWith: () => unkept.splice(0) }
}

const detached = (delivery: Incoming): Incoming => ({ ...plain(delivery), settle: () => true })

/** A delivery's getters lie on its prototype, where spreading does not find them. */
function plain(delivery: Incoming): Incoming {
  const { body, properties, exchange, routingKey, queue, redelivered, deliveryCount } = delivery
  return { body, properties, exchange, routingKey, queue, redelivered, deliveryCount, settle: (how) => delivery.settle(how) }
}
