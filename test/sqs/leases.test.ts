/** Who holds a message on SQS, for how long, and where it ends, on an emulator. */
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { connect, queue } from '../../src/index.ts'
import { waitFor } from '../support/wait.ts'
import { connection, consuming, gate, held, other, unique, urlOf } from './house.ts'

describe('dead letters', () => {
  it('go where the redrive policy leads, as they came', async () => {
    const [name, grave] = [unique('orders'), unique('grave')]
    await other.createQueue({ QueueName: grave })
    const { Attributes: attributes } = await other.getQueueAttributes({ QueueUrl: await urlOf(grave), AttributeNames: ['QueueArn'] })
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: attributes!.QueueArn, maxReceiveCount: 5 })
    const on = connection()
    await on.declare(queue(name, { arguments: { 'sqs-attributes': { RedrivePolicy } } }))
    await other.sendMessage({ QueueUrl: await urlOf(name), MessageBody: 'poison' })
    expect(await (await on.get(name))!.reject()).toBe(true)
    const { Messages: [letter] = [] } = await other.receiveMessage({ QueueUrl: await urlOf(grave) })
    expect(letter?.Body).toBe('poison')
    expect((await on.inspect(name)).messages).toBe(0)
  })

  it('stay where they are until their copy is taken', async () => {
    const [name, grave] = [unique('orders'), unique('grave')]
    const on = connection('lease_seconds=2')
    await on.declare(queue(grave), queue(name, { deadLetterExchange: '', deadLetterRoutingKey: grave }))
    await on.publish('', name, 'm')
    gate.refuse('SendMessageBatch', { status: 403, type: 'AccessDenied', message: 'not there' })
    onTestFinished(() => gate.refuse('SendMessageBatch', undefined))
    expect(await (await on.get(name))!.reject()).toBe(false)
    gate.refuse('SendMessageBatch', undefined)
    const again = await waitFor(() => on.get(name), { what: 'the message, when its lease is over' })
    expect(again.deliveryCount).toBe(1)
    expect(await again.reject()).toBe(true)
    expect((await on.get(grave))?.payload).toBe('m')
  })

  it.each([
    ['denied', { status: 403, type: 'AccessDenied', message: 'not for you' }],
    ['throttled', { status: 400, type: 'RequestThrottled', message: 'not now' }],
  ])('stay where they are where it cannot be told where they lead: %s', async (_, refusal) => {
    const [name, grave] = [unique('orders'), unique('grave')]
    await connection().declare(queue(grave))
    const on = connection('lease_seconds=2')
    await on.declare(queue(name, { deadLetterExchange: '', deadLetterRoutingKey: grave }))
    await on.publish('', name, 'm')
    const delivery = await on.get(name)
    gate.refuse('GetQueueUrl', refusal)
    onTestFinished(() => gate.refuse('GetQueueUrl', undefined))
    expect(await delivery?.reject()).toBe(false)
    expect(held(name).inflight).toHaveLength(1)
  })

  it('are made of messages whose own time is over when they are received', async () => {
    const [name, grave] = [unique('orders'), unique('grave')]
    const orders = queue(name, { deadLetterExchange: '', deadLetterRoutingKey: grave })
    const on = connection()
    await on.declare(queue(grave), orders)
    await on.publish('', name, 'old', { expirationMs: 1 })
    await on.publish('', name, 'young', { expirationMs: 60_000 })
    await pause(5)
    const { texts } = await consuming(on, orders)
    await waitFor(() => texts().length === 1, { what: 'the young one' })
    expect(texts()).toEqual(['young'])
    const letter = await waitFor(() => on.get(grave), { what: 'the old one' })
    expect(letter.payload).toBe('old')
    expect(letter.properties.expirationMs).toBeUndefined()
  })
})

describe('leases', () => {
  it('are renewed while a handler runs, so that it runs once', async () => {
    const name = unique('slow')
    const on = connection('lease_seconds=2')
    await on.declare(queue(name))
    await on.publish('', name, 'm')
    const { seen } = await consuming(on, name, async (delivery) => {
      await pause(3_500)
      await delivery.ack()
    })
    await waitFor(() => held(name).inflight.length === 1, { what: 'the message to be held' })
    await waitFor(() => held(name).inflight.length === 0 && held(name).ready.length === 0, { what: 'it to be done' })
    expect(seen).toHaveLength(1)
  })

  it('are given back when the consumer stops', async () => {
    const name = unique('stopped')
    const on = connection()
    await on.declare(queue(name))
    const { seen, consumer } = await consuming(on, name, () => undefined)
    await on.publish('', name, 'm')
    await waitFor(() => seen.length === 1, { what: 'the message' })
    expect(await consumer.stop({ deadlineMs: 0 })).toBe(1)
    await waitFor(() => held(name).ready.length === 1, { what: 'it to be there for others' })
  })
})

describe('long polls', () => {
  it('bring a message at once, and end with their consumer', async () => {
    const name = unique('polled')
    const on = connect(`sqs://key:secret@${gate.host}/?wait_time_seconds=1`)
    onTestFinished(() => on.close())
    const { seen, consumer } = await consuming(on, name)
    await waitFor(() => gate.polling === 1, { what: 'a poll' })
    await on.publish('', name, 'm')
    await waitFor(() => seen.length === 1, { what: 'the message' })
    await consumer.stop()
    expect(gate.polling).toBe(0)
    await on.publish('', name, 'for others')
    await waitFor(() => held(name).ready.length === 1, { what: 'a message that nobody takes' })
  })

  it('are several while they come back full', async () => {
    const name = unique('busy')
    const on = connection()
    await on.declare(queue(name))
    await Promise.all(Array.from({ length: 300 }, (_, n) => on.publish('', name, n)))
    const { seen } = await consuming(on, name)
    await waitFor(() => seen.length === 300, { what: 'all' })
    expect(new Set(seen.map(({ payload }) => payload)).size).toBe(300)
    // Ten at a time: what is sent, received and deleted one by one would be 900 requests.
    await waitFor(() => held(name).inflight.length === 0, { what: 'all acks' })
  })
})
