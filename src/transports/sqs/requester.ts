/** Requests whose answers come to an exclusive queue of their session. */
import { queue } from '../../core/entities.ts'
import { messageOf } from '../../core/errors.ts'
import type { AnswerHandlers, Incoming, Requester, SubscribeOptions, Subscription } from '../../core/transport.ts'
import type { Topology } from './topology.ts'

export interface RequesterOptions {
  readonly topology: Topology
  readonly listen: (options: SubscribeOptions) => Promise<Subscription>
  readonly publish: Requester['publish']
}

export function requester({ topology, listen, publish }: RequesterOptions, handlers: AnswerHandlers): Requester {
  let answers: Promise<string> | undefined
  const begin = async (): Promise<string> => {
    const { name } = await topology.declareQueue(queue(''))
    const onCancelled = (reason: string): void => {
      answers = undefined
      handlers.onLost(reason)
    }
    const onDelivery = (answer: Incoming): void => handlers.onAnswer(answer)
    await listen({ queue: name, prefetch: 0, exclusive: false, noAck: true, arguments: {}, onDelivery, onCancelled })
    return name
  }
  return {
    publish(messages, settled) {
      answers ??= begin()
      const send = (replyTo: string): void => {
        for (const message of messages)
          publish([{ ...message, properties: { ...message.properties, replyTo } }], (_, result) => settled(message, result))
      }
      const refuse = (error: unknown): void => {
        answers = undefined
        for (const message of messages) settled(message, { status: 'refused', reason: `no queue for the answer: ${messageOf(error)}` })
      }
      answers.then(send, refuse)
    },
  }
}
