/** A disk that is really full: a file system of some megabytes in a namespace of the broker's own. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import amqp from 'amqplib'
import { describe, expect, test } from 'vitest'
import { connect, queue as queueOf } from '../../src/index.ts'
import { canMount } from '../support/injection.ts'
import { waitFor } from '../support/wait.ts'
import { startOnSmallDisk } from './processes.ts'

const SIZE = 3 * 1024 * 1024
const body = (n: number): string => `${n} ${'x'.repeat(20_000)}`

describe.runIf(canMount)('a full disk', () => {
  test('refuses what has no room, loses nothing, and goes on when there is room again', async () => {
    const { broker, url, data } = await startOnSmallDisk(SIZE, { minFreeBytes: 0 })
    await using _ = broker
    const connection = await amqp.connect(url)
    connection.on('error', () => {})
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue('q')
    const kept: number[] = []
    let next = 0
    /** Resolves with whether it was taken. */
    const publish = (): Promise<boolean> => {
      const n = next++
      return new Promise((resolve) => {
        channel.sendToQueue('q', Buffer.from(body(n)), {}, (error) => {
          if (!error) kept.push(n)
          resolve(!error)
        })
      })
    }
    const filler = join(data, 'filler')
    writeFileSync(filler, Buffer.alloc(SIZE / 2))
    for (let n = 0; (await publish()) && n < 1000; n++);
    await broker.line('"type":"store-full"')
    expect((await channel.checkQueue('q')).messageCount).toBe(kept.length)
    rmSync(filler)
    await waitFor(() => publish(), { what: 'a publish to be taken again' })
    const got: number[] = []
    for (let message = await channel.get('q'); message; message = await channel.get('q')) {
      got.push(Number(message.content.toString().split(' ')[0]))
      channel.ack(message)
    }
    expect(got).toEqual(kept)
    broker.signal('SIGTERM')
    expect(await broker.exit()).toEqual({ code: 0, signal: null })
  })

  test('is seen in time: publishers are blocked and wait, consumers go on, and what they settle makes the room', async () => {
    const { broker, url } = await startOnSmallDisk(SIZE, { minFreeBytes: 1_200_000 })
    await using _ = broker
    const events: string[] = []
    const connection = connect(url, { deadlineMs: 60_000, maxInFlight: 4, onEvent: ({ type }) => events.push(type) })
    await using __ = { [Symbol.asyncDispose]: () => connection.close() }
    const q = queueOf('q', { type: 'classic' })
    await connection.declare(q)
    let confirmed = 0
    const all = Array.from({ length: 200 }, (___, n) => connection.publish(q, body(n)).then(() => confirmed++))
    await waitFor(() => events.includes('blocked'), { what: 'the publisher to be blocked' })
    await broker.line('DISK_LOW')
    expect(confirmed).toBeLessThan(200)
    expect(confirmed).toBeGreaterThan(10)

    const got: number[] = []
    await connection.consume(q, (delivery) => {
      got.push(Number(String(delivery.payload).split(' ')[0]))
      void delivery.ack()
    })
    await Promise.all(all)
    await waitFor(() => got.length >= 200, { what: 'all to be consumed' })
    expect(got).toEqual(Array.from({ length: 200 }, (___, n) => n))
    expect(events).toContain('unblocked')
    expect(broker.lines.filter((line) => line.includes('store-full') || line.includes('store-failed'))).toEqual([])
  })

  test('a client that publishes and consumes in one goes on settling, and is refused what it publishes', async () => {
    const { broker, url } = await startOnSmallDisk(SIZE, { minFreeBytes: 1_200_000 })
    await using _ = broker
    const connection = await amqp.connect(url)
    connection.on('error', () => {})
    const blocks: string[] = []
    connection.on('blocked', (reason: string) => blocks.push(reason))
    connection.on('unblocked', () => blocks.push('unblocked'))
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue('q')
    await channel.prefetch(5)
    const held: amqp.ConsumeMessage[] = []
    let hold = true
    const settle = (message: amqp.ConsumeMessage): void => (hold ? void held.push(message) : channel.ack(message))
    await channel.consume('q', (message) => message && settle(message))
    const publish = (): Promise<boolean> =>
      new Promise((resolve) => void channel.sendToQueue('q', Buffer.from(body(0)), {}, (error) => resolve(!error)))
    for (let n = 0; (await publish()) && n < 1000; n++);
    // Writing the log back may make room for a moment: what counts is how it ends.
    await waitFor(() => blocks.at(-1)?.includes('DISK_LOW'), { what: 'the alarm' })
    hold = false
    for (const message of held) channel.ack(message)
    await waitFor(() => blocks.at(-1) === 'unblocked', { what: 'room' })
    await waitFor(publish, { what: 'a publish to be taken again' })
  })
})
