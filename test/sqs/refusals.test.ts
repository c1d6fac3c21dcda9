/** What SQS says no to: each a named outcome, and the message is kept. */
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type Connection, type ConnectionEvent, type ConnectionOptions, connect, queue } from '../../src/index.ts'
import { type SqsEmulator, startSqs } from '../support/sqs.ts'
import { waitFor } from '../support/wait.ts'
import { type Gate, type Refusal, openGate } from './gate.ts'

let emulator: SqsEmulator
let gate: Gate

beforeAll(async () => void (emulator = await startSqs()))
beforeEach(async () => {
  gate = await openGate(emulator.endpoint)
  return () => gate[Symbol.asyncDispose]()
})
afterAll(() => emulator[Symbol.asyncDispose]())

const refusal = (type: string, message: string, status = 400): Refusal => ({ status, type, message })
const denied = refusal('AccessDenied', 'User: me is not authorized to perform: sqs:ReceiveMessage', 403)
const throttled = refusal('RequestThrottled', 'Rate exceeded')

let count = 0
const unique = (name: string): string => `${name}-${++count}`

function connection(options: ConnectionOptions = {}): { on: Connection; events: ConnectionEvent[] } {
  const events: ConnectionEvent[] = []
  const on = connect(`sqs://key:secret@${gate.host}/?wait_time_seconds=0&polling_interval=0.02`, {
    backoff: { minMs: 10, maxMs: 50 },
    onEvent: (event) => void events.push(event),
    ...options,
  })
  onTestFinished(() => on.close({ deadlineMs: 500 }))
  return { on, events }
}

async function withQueue(options?: ConnectionOptions) {
  const name = unique('refused')
  const { on, events } = connection(options)
  await on.declare(queue(name))
  return { on, events, name, ready: () => emulator.server.inspectQueue(name)!.messages.ready.length }
}

describe('opening', () => {
  it.each([
    ['InvalidClientTokenId', 'The security token included in the request is invalid'],
    ['SignatureDoesNotMatch', 'The request signature we calculated does not match'],
    ['UnrecognizedClientException', 'No such client'],
  ])('is given up for good where the keys are wrong: %s', async (type, message) => {
    gate.refuse('ListQueues', refusal(type, message, 403))
    const { on } = connection()
    await expect(on.ready()).rejects.toMatchObject({
      fatal: true,
      message: expect.stringMatching(new RegExp(`refused our credentials: ${message}`)),
    })
    await expect(on.ready()).rejects.not.toThrow('secret')
  })

  it('is tried again where they have expired, where nobody answers, and in trouble over there', async () => {
    for (const trouble of [refusal('ExpiredToken', 'expired', 403), 'cut', refusal('ServiceUnavailable', 'later', 503)] as const) {
      gate.refuse('ListQueues', trouble)
      const { on, events } = connection()
      const ready = on.ready()
      await waitFor(() => events.filter(({ type }) => type === 'down').length > 1, { what: 'another attempt' })
      gate.refuse('ListQueues', undefined)
      await ready
    }
  })

  it('does not need the right to list', async () => {
    gate.refuse('ListQueues', denied)
    await connection().on.ready()
  })

  it('names the region where there is nobody of that name', async () => {
    const on = connect('sqs://key:secret@sqs.eu-wset-1.amazonaws.com', { deadlineMs: 300 })
    onTestFinished(() => on.close({ deadlineMs: 0 }))
    await expect(on.ready()).rejects.toThrow(/eu-wset-1/)
  })
})

describe('declaring', () => {
  it.each([
    ['GetQueueUrl', denied, { replyCode: 403 }],
    ['CreateQueue', denied, { replyCode: 403 }],
    [
      'CreateQueue',
      refusal('QueueDeletedRecently', 'You must wait 60 seconds'),
      { replyCode: 405, message: expect.stringContaining('takes its name again after 60 seconds') },
    ],
    ['CreateQueue', refusal('QueueNameExists', 'a different value for attribute DelaySeconds'), { replyCode: 406 }],
  ])('%s refused: %o', async (action, answer, expected) => {
    gate.refuse(action, answer)
    const name = unique('refused')
    await expect(connection().on.declare(queue(name))).rejects.toMatchObject({ code: 'ERR_OMNIBUS_TOPOLOGY', ...expected })
    await expect(connection().on.declare(queue(name))).rejects.toThrow(name)
  })

  it.each([
    [{ autoDelete: true }, 'autoDelete cannot be kept'],
    [{ messageTtlMs: 5 }, 'it has no x-message-ttl; its queues have a retention period'],
    [{ maxLength: 5 }, 'it has no x-max-length'],
    [{ maxPriority: 5 }, 'urgent messages need a queue of their own'],
    [{ singleActiveConsumer: true }, 'FIFO queue'],
  ])('%j cannot be kept, and says so', async (options, reason) => {
    await expect(connection().on.declare(queue(unique('cannot'), options))).rejects.toMatchObject({
      code: 'ERR_OMNIBUS_UNSUPPORTED',
      message: expect.stringContaining(reason),
    })
  })
})

it('lets no consumer be alone on a queue, and says so when it is subscribed', async () => {
  const { on } = connection()
  await expect(on.consume(queue(unique('cannot')), () => undefined, { exclusive: true })).rejects.toThrow('exclusive cannot be kept')
})

describe('publishing', () => {
  it.each([
    ['access denied', refusal('AccessDenied', 'not authorized', 403), 'refused', 'not authorized'],
    ['the key of its encryption', refusal('KmsAccessDenied', 'no key for you'), 'refused', 'no key for you'],
    ['throttled', throttled, 'nacked', 'Rate exceeded'],
    ['characters', refusal('InvalidMessageContents', 'not XML'), 'refused', 'not XML'],
  ])('%s: rejects by name', async (_, answer, reason, text) => {
    const { on, name, ready } = await withQueue()
    gate.refuse('SendMessageBatch', answer)
    await expect(on.publish('', name, 'm')).rejects.toMatchObject({
      code: 'ERR_OMNIBUS_PUBLISH',
      reason,
      message: expect.stringContaining(text),
    })
    gate.refuse('SendMessageBatch', undefined)
    await on.publish('', name, 'm')
    expect(ready()).toBe(1)
  })

  it('is nacked where the question for its queue is throttled', async () => {
    gate.refuse('GetQueueUrl', throttled)
    await expect(connection().on.publish('', unique('unknown'), 'm')).rejects.toMatchObject({ reason: 'nacked' })
  })

  it('to a queue that is gone is unroutable, and works again when it is back', async () => {
    const { on, name } = await withQueue()
    emulator.server.deleteQueue(name)
    await expect(on.publish('', name, 'm')).rejects.toMatchObject({ reason: 'unroutable' })
    await on.declare(queue(name))
    expect(await on.publish('', name, 'm')).toEqual({ routed: true })
  })

  it('goes on after a cut, within its deadline', async () => {
    const { on, name, events } = await withQueue()
    gate.refuse('SendMessageBatch', 'cut')
    const publishing = on.publish('', name, 'm')
    await waitFor(() => events.some(({ type }) => type === 'down'), { what: 'the link to go' })
    gate.refuse('SendMessageBatch', undefined)
    expect(await publishing).toEqual({ routed: true })
  })
})

it('a storm of throttling leaves nobody waiting: every publish settles, and what was taken is handled', async () => {
  const actions = ['CreateQueue', 'GetQueueUrl', 'GetQueueAttributes', 'ListQueueTags', 'TagQueue', 'ListQueues']
  const flowing = ['SendMessageBatch', 'ReceiveMessage', 'DeleteMessageBatch', 'ChangeMessageVisibilityBatch']
  for (const action of [...actions, ...flowing]) gate.refuse(action, { ...throttled, every: 3 })
  const { on } = connection()
  const work = queue(unique('stormy'))
  const handled = new Set<number>()
  await on.consume(work, async (delivery) => (handled.add(delivery.payload as number), void (await delivery.ack())))
  const publishing = Array.from({ length: 300 }, (_, n) => on.publish(work, n))
  const outcomes = await Promise.allSettled(publishing)
  const refused = outcomes.flatMap((one) => (one.status === 'rejected' ? [(one.reason as { reason: string }).reason] : []))
  expect(new Set(refused)).toEqual(new Set(['nacked']))
  const taken = outcomes.flatMap(({ status }, n) => (status === 'fulfilled' ? [n] : []))
  expect(taken.length).toBeGreaterThan(100)
  await waitFor(() => taken.every((n) => handled.has(n)), { what: 'all that was taken to be handled' })
})

it('a queue that was deleted is declared again after a loss, by whoever only publishes', async () => {
  const { on, name, events, ready } = await withQueue()
  emulator.server.deleteQueue(name)
  gate.refuse('SendMessageBatch', 'cut')
  const publishing = on.publish('', name, 'm').catch(() => undefined)
  await waitFor(() => events.filter(({ type }) => type === 'up').length > 1, { what: 'the link to come back' })
  gate.refuse('SendMessageBatch', undefined)
  await publishing
  expect(events.filter(({ type }) => type === 'redeclare-failed')).toEqual([])
  await on.publish('', name, 'm')
  expect(ready()).toBeGreaterThan(0)
})

describe('consuming', () => {
  it('is refused where it is denied', async () => {
    const { on, name } = await withQueue()
    gate.refuse('ReceiveMessage', denied)
    await expect(on.consume(queue(name), () => undefined)).rejects.toMatchObject({
      replyCode: 403,
      message: expect.stringContaining('not authorized'),
    })
    await expect(on.get(name)).rejects.toMatchObject({ replyCode: 403 })
  })

  it('goes on after it was throttled or denied for a while', async () => {
    for (const answer of [throttled, refusal('OverLimit', 'too many in flight', 403), denied]) {
      const { on, name } = await withQueue()
      const seen: string[] = []
      await on.consume(queue(name), (delivery) => (seen.push(delivery.text()), void delivery.ack()))
      gate.refuse('ReceiveMessage', answer)
      await on.publish('', name, 'm')
      const from = gate.asked.length
      await waitFor(() => gate.asked.slice(from).includes('ReceiveMessage'), { what: 'a poll that is refused' })
      gate.refuse('ReceiveMessage', undefined)
      await waitFor(() => seen.length === 1, { what: 'the message' })
    }
  })

  it('brings a message again whose ack did not arrive, or whose receipt was too old', async () => {
    for (const answer of [throttled, denied, refusal('ReceiptHandleIsInvalid', 'The receipt handle has expired')]) {
      const { on, name } = await withQueue()
      await on.publish('', name, 'm')
      const delivery = await on.get(name)
      gate.refuse('DeleteMessageBatch', answer)
      expect(await delivery?.ack()).toBe(false)
      expect(emulator.server.inspectQueue(name)!.messages.inflight).toHaveLength(1)
      gate.refuse('DeleteMessageBatch', undefined)
    }
  })
})
