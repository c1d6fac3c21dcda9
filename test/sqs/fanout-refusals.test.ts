/** What SNS refuses of fanout exchanges. The emulator knows no rights: refusals are answered by the gate. */
import { describe, expect, it, onTestFinished } from 'vitest'
import { bind, queue } from '../../src/index.ts'
import { waitFor } from '../support/wait.ts'
import type { Refusal } from './gate.ts'
import { bound, connection, fanout, gate, held, mapped, sns, topicArn, unique } from './sns.ts'

function refusing(action: string, refusal: Refusal | 'cut'): void {
  gate.refuse(action, refusal)
  onTestFinished(() => gate.refuse(action, undefined))
}

const denied = (action: string): Refusal => ({
  status: 403,
  type: 'AuthorizationError',
  message: `User: me is not authorized to perform: SNS:${action}`,
})

describe('what SNS refuses', () => {
  it.each(['CreateTopic', 'Subscribe'])('%s: tells which right is missing', async (action) => {
    refusing(action, denied(action))
    const news = fanout()
    const declared = connection().declare(queue(unique('bound'), { bindings: [bind(news)] }))
    await expect(declared).rejects.toMatchObject({
      replyCode: 403,
      message: expect.stringMatching(new RegExp(`${mapped(news.name).replace('-', '.')}.*not authorized to perform: SNS:${action}`)),
    })
  })

  it.each<[string, Refusal, string, RegExp]>([
    ['a right', denied('Publish'), 'refused', /topic "news-\d+".*SNS:Publish/],
    ['too many requests', { status: 400, type: 'Throttled', message: 'Rate exceeded' }, 'nacked', /Rate exceeded/],
    ['the key of its encryption', { status: 400, type: 'KMSDisabled', message: 'no key for you' }, 'refused', /no key/],
  ])('a publish for %s: rejects by name', async (_, refusal, reason, message) => {
    const news = fanout()
    const on = connection()
    const name = await bound(on, news)
    refusing('PublishBatch', refusal)
    await expect(on.publish(news, '', 'm')).rejects.toMatchObject({ reason, message: expect.stringMatching(message) })
    gate.refuse('PublishBatch', undefined)
    await on.publish(news, '', 'm')
    expect(held(name)).toHaveLength(1)
  })

  it('what is too large, and has too many attributes to be given to anybody', async () => {
    const news = fanout()
    const on = connection()
    const name = await bound(on, news)
    const attributes = Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`a${n}`, 'x']))
    const all = await Promise.allSettled([
      on.publish(news, '', 'before'),
      on.publish(news, '', Buffer.alloc(200_000)),
      on.publish(news, '', 'm', { headers: { message_attributes: attributes } }),
      on.publish(news, '', 'after'),
    ])
    expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled'])
    expect(all[1]).toMatchObject({ reason: { message: expect.stringMatching(/takes 26\d{4} bytes/) } })
    expect(all[2]).toMatchObject({ reason: { message: expect.stringContaining('at most 10 attributes') } })
    expect(held(name)).toHaveLength(2)
  })

  it('whether anybody is subscribed: then somebody is', async () => {
    refusing('ListSubscriptionsByTopic', denied('ListSubscriptionsByTopic'))
    const on = connection()
    expect(await on.publish(fanout(), '', 'm')).toEqual({ routed: true })
  })

  it('a topic that is gone is unroutable, and made again by the next', async () => {
    const news = fanout()
    const on = connection()
    const name = await bound(on, news)
    await sns.deleteTopic({ TopicArn: topicArn(news.name) })
    await expect(on.publish(news, '', 'lost')).rejects.toMatchObject({ reason: 'unroutable' })
    await on.declare(queue(name, { bindings: [bind(news)] }))
    expect(await on.publish(news, '', 'm')).toEqual({ routed: true })
    expect((await on.get(name))?.payload).toBe('m')
  })

  it('by a cut is published again, within its deadline', async () => {
    const news = fanout()
    const downs: unknown[] = []
    const on = connection('', { onEvent: (event) => void (event.type === 'down' && downs.push(event)) })
    await bound(on, news)
    gate.refuse('PublishBatch', 'cut')
    onTestFinished(() => gate.refuse('PublishBatch', undefined))
    const publishing = on.publish(news, '', 'm')
    await waitFor(() => downs.length > 0, { what: 'the link to go' })
    gate.refuse('PublishBatch', undefined)
    expect(await publishing).toEqual({ routed: true })
  })
})
