import { statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type BrokerStats, inspectBroker, readAnnouncement, startBroker } from '../../src/broker/index.ts'
import { sampler } from '../../src/broker/statistics.ts'
import { connect, queue as queueOf } from '../../src/index.ts'
import { omnibus } from '../support/omnibus.ts'
import { runToEnd } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'

const command = async (...args: string[]): Promise<{ code: number | null; output: string }> => {
  const running = omnibus(['inspect', ...args])
  await using _ = running
  const { code } = await running.exit()
  await running[Symbol.asyncDispose]()
  return { code, output: running.lines.join('\n') }
}

describe('inspect', () => {
  test('tells queues, connections and consumers of a running broker, to people and to programs', async () => {
    const data = tempDir('inspected')
    const broker = await startBroker({ data, listen: '127.0.0.1:0' })
    await using _ = { [Symbol.asyncDispose]: () => broker.stop() }
    const connection = connect(`amqp://guest:guest@${broker.address!.listen}`, { name: 'teller \u001b[31m' })
    // It never settles what it holds.
    await using __ = { [Symbol.asyncDispose]: () => connection.close({ deadlineMs: 100 }) }
    const q = queueOf('orders', { type: 'classic' })
    await connection.declare(q, queueOf('idle', { type: 'classic' }))
    for (let n = 0; n < 5; n++) await connection.publish(q, { n })
    const held: unknown[] = []
    await connection.consume(q, (delivery) => void held.push(delivery), { prefetch: 3 })
    await waitFor(() => held.length === 3, { what: 'three deliveries' })

    const { code, output } = await command('--data', data, '--json')
    expect(code).toBe(0)
    const stats = JSON.parse(output) as BrokerStats
    expect(stats).toMatchObject({ pid: process.pid, clients: stats.connections.length })
    expect(stats.memoryBytes).toBeGreaterThan(10_000_000)
    expect(stats.storeBytes).toBeGreaterThan(4096)
    expect(stats.queues.find(({ name }) => name === 'orders')).toMatchObject({
      ready: 2,
      unsettled: 3,
      consumers: 1,
      published: 5,
      delivered: 3,
      acked: 0,
      durable: true,
    })
    const consuming = stats.connections.find(({ channels }) => channels.some(({ consumers }) => consumers.length > 0))
    expect(consuming).toMatchObject({ user: 'guest', protocol: 'AMQP 0-9-1', blocked: false, client: expect.stringContaining('127.0.0.1') })
    expect(consuming?.channels.flatMap(({ consumers }) => consumers)).toMatchObject([{ queue: 'orders', prefetch: 3, unsettled: 3 }])

    const table = await command('--data', data)
    expect(table.code).toBe(0)
    expect(table.output).toMatch(/^ {2}orders +2 +3 +1 /m)
    expect(table.output).toMatch(/^ {2}orders +\S+ +127\.0\.0\.1:\d+ +\d+ +3 +3 +0$/m)
    expect(table.output).toContain('teller ?[31m')
    expect(table.output).not.toContain('\u001b')
  })

  test('its socket lies in the private folder, and goes with the broker', async () => {
    const data = tempDir('inspected')
    const broker = await startBroker({ data })
    const { inspect: socket } = readAnnouncement(data)!
    expect((statSync(join(socket!, '..')).mode & 0o777).toString(8)).toBe('700')
    expect((await inspectBroker(data)).queues).toEqual([])
    await broker.stop()
    expect(() => statSync(join(socket!, '..'))).toThrow('ENOENT')
    await expect(inspectBroker(data)).rejects.toThrow('No built-in broker runs in')
    const { code, output } = await command('--data', data)
    expect([code, output]).toEqual([69, expect.stringContaining(`No built-in broker runs in ${data}`)])
  })

  test('rates are of the last seconds, and never below nothing', () => {
    let now = 0
    let published = 100
    const queue = () => ({ name: 'q', published, delivered: 0, acked: 0 }) as BrokerStats['queues'][number]
    const samples = sampler(
      () => [queue()],
      () => now,
    )
    now = 10_000
    published = 600
    expect(samples.rates(queue())).toEqual({ published: 50, delivered: 0, acked: 0 })
    published = 10
    expect(samples.rates(queue()).published).toBe(0)
    samples.stop()
  })
})

describe('broker --salvage', () => {
  test('says what it found, and refuses while a broker runs', async () => {
    const data = tempDir('cli-salvage')
    const salvage = () =>
      runToEnd(process.execPath, [join(import.meta.dirname, '../../dist/cli/main.js'), 'broker', '--salvage', '--data', data])
    const broker = await startBroker({ data })
    const busy = await salvage()
    expect([busy.code, busy.output]).toEqual([78, expect.stringContaining('is in use by a running broker')])
    await broker.stop()
    expect(await salvage()).toMatchObject({ code: 0, output: 'The store is sound and was left as it is.' })
  })
})
