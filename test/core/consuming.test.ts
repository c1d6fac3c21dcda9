import { describe, expect, it } from 'vitest'
import { queue } from '../../src/core/entities.ts'
import { TopologyError } from '../../src/core/errors.ts'
import { settle } from './fake-clock.ts'
import { endOf, setUp } from './scripted-connection.ts'

describe('consuming', () => {
  it('subscribes again after a loss and after a cancel by the broker', async () => {
    const { clock, connection, consuming } = setUp()
    const seen: string[] = []
    const consumer = await connection.consume(queue('q'), (delivery) => void seen.push(delivery.text()))
    const first = consuming()
    first.deliver('one')
    first.die()
    await clock.pass(200)
    expect(consuming()).not.toBe(first)
    consuming().deliver('two')
    consuming().subscriptions[0]!.onCancelled('queue deleted')
    expect(consumer.subscribed).toBe(false)
    await clock.pass(1_000)
    expect(consuming().subscriptions).toHaveLength(2)
    consuming().deliver('three')
    expect(seen).toEqual(['one', 'two', 'three'])
  })

  it('asks less and less often for a queue that the broker goes on refusing', async () => {
    const { clock, connection, consuming, events } = setUp()
    await connection.consume(queue('q'), () => undefined)
    consuming().declareQueue = () => Promise.reject(new TopologyError("PRECONDITION_FAILED - inequivalent arg 'durable'", 406))
    consuming().subscriptions[0]!.onCancelled('queue deleted')
    const refusals = () => events.filter(({ type }) => type === 'resubscribe-failed').length
    await clock.pass(60_000)
    const early = refusals()
    await clock.pass(300_000)
    expect(early).toBeGreaterThan(2)
    expect(refusals() - early).toBeLessThanOrEqual(10)
  })

  it('reports a late settle instead of throwing', async () => {
    const { clock, connection, consuming } = setUp()
    const finish = Promise.withResolvers<void>()
    const acks: boolean[] = []
    await connection.consume(queue('q'), async (delivery) => {
      await finish.promise
      acks.push(await delivery.ack(), delivery.lost)
    })
    consuming().deliver('one')
    consuming().die()
    await clock.pass(200)
    finish.resolve()
    await settle()
    expect(acks).toEqual([false, true])
  })

  it('counts the first settle of a delivery alone', async () => {
    const { connection, consuming } = setUp()
    const settled: boolean[] = []
    await connection.consume(queue('q'), async (delivery) => void settled.push(await delivery.ack(), await delivery.reject()))
    consuming().deliver('one')
    await settle()
    expect([settled, consuming().settled]).toEqual([[true, false], [['one', 'ack']]])
  })

  it('waits at a stop for nothing that came on a lost link', async () => {
    const { clock, connection, consuming } = setUp()
    const consumer = await connection.consume(queue('q'), () => undefined)
    consuming().deliver('never settled')
    expect(consumer.inFlight).toBe(1)
    consuming().die()
    await clock.pass(200)
    expect(consumer.inFlight).toBe(0)
    const end = endOf(consumer.stop())
    await settle()
    expect(end).toEqual({ value: 0 })
  })

  it('puts a delivery back, after a pause, when its handler throws', async () => {
    const { clock, connection, consuming, events } = setUp()
    await connection.consume(queue('q'), () => Promise.reject(new Error('boom')))
    consuming().deliver('one')
    await settle()
    expect(events.at(-1)).toMatchObject({ type: 'handler-failed', queue: 'q' })
    expect(consuming().settled).toEqual([])
    await clock.pass(1_000)
    expect(consuming().settled).toEqual([['one', 'requeue']])
  })

  it('stops by waiting for what is held, and gives back the rest at the deadline', async () => {
    const { clock, connection, consuming } = setUp()
    const finish = Promise.withResolvers<void>()
    const consumer = await connection.consume(queue('q'), async (delivery) => {
      if (delivery.text() === 'quick') await finish.promise.then(() => delivery.ack())
      else await new Promise(() => undefined)
    })
    consuming().deliver('quick')
    consuming().deliver('stuck')
    const end = endOf(consumer.stop({ deadlineMs: 1_000 }))
    await settle()
    finish.resolve()
    await clock.pass(900)
    expect(end).toEqual({})
    await clock.pass(200)
    expect(end).toEqual({ value: 1 })
    expect(consuming().settled).toEqual([
      ['quick', 'ack'],
      ['stuck', 'release'],
    ])
  })
})
