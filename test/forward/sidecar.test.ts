/** examples/sidecar: Flask under Gunicorn behind `omnibus forward`, killed part by part under load. Whatever was confirmed is handled. */
import { setTimeout as pause } from 'node:timers/promises'
import { join } from 'node:path'
import { connect, consume, createBus, event, on, queue } from 'omnibus'
import { describe, expect, test } from 'vitest'
import type { Status } from '../../src/supervisor/status.ts'
import { check, faults, noFaults, openLedger } from '../faults/ledger.ts'
import { startBroker } from '../support/broker.ts'
import { copyOfExample, omnibus, root } from '../support/omnibus.ts'
import { have } from '../support/packages.ts'
import { freePorts } from '../support/ports.ts'
import { type Running, runToEnd } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { sharedSqs } from '../support/shared-sqs.ts'
import { waitFor } from '../support/wait.ts'

const Placed = event<{ item: string }>('order.placed.v1')
const Packed = event<{ item: string }>('order.packed.v1')
const packed = queue('packed', { listensTo: [Packed] })

describe.runIf(have('gunicorn', 'python3-flask'))('the sidecar', () => {
  test('loses nothing when Gunicorn, its workers, the gateway, the broker or the forwarder are killed, and stops in order', async () => {
    const cwd = copyOfExample('sidecar')
    const [app, gateway] = (await freePorts(2)) as [number, number]
    const start = (): Running =>
      omnibus(
        [
          `forward --queue orders --listens-to order.placed.v1 --to http://127.0.0.1:${app}/events --ready http://127.0.0.1:${app}/healthz`,
          `--listen 127.0.0.1:${gateway} --attempts 50 -- gunicorn --workers 2 --threads 4 --bind 127.0.0.1:${app} app:app`,
        ].flatMap((flags) => flags.split(' ')),
        { cwd, env: { PYTHONDONTWRITEBYTECODE: '1', WORK_S: '0.01' }, label: 'sidecar' },
      )
    await using first = start()
    await first.line('"msg":"Ready"')
    const bus = createBus({ url: `omnibus://${join(cwd, '.omnibus')}?spawn=false`, declares: [packed], onEvent: () => undefined })

    const folder = tempDir('ledger')
    using produced = openLedger(join(folder, 'producer'))
    using handled = openLedger(join(folder, 'consumer'))
    let producing = true
    const produce = async (): Promise<void> => {
      for (let n = 0; producing; n++) {
        const id = `p-${n}`
        produced.write('sent', id)
        await bus.publish(Placed, { item: id }, { id }).then(
          () => produced.write('confirmed', id),
          () => produced.write('failed', id),
        )
        await pause(5)
      }
    }
    const pidsOf = async (unit: string): Promise<number[]> => {
      const { output } = await runToEnd(process.execPath, [join(root, 'dist/cli/main.js'), 'status', '--json'], { cwd })
      return (JSON.parse(output) as Status).units.filter((one) => one.unit === unit).flatMap(({ pid }) => pid ?? [])
    }
    const moreDone = async (what: string): Promise<void> => {
      const before = first.lines.length
      const confirmed = produced.count('confirmed')
      await waitFor(() => produced.count('confirmed') > confirmed + 20, { what: `publishes after ${what}, line ${before}` })
    }
    const load = produce()

    const booted = (line: string): number => Number(/pid: (\d+)/.exec(line)?.[1])
    process.kill(booted(await first.line('Booting worker with pid')), 'SIGKILL')
    await moreDone('a worker was killed')
    for (const unit of ['app', 'gateway', 'broker', 'forward']) {
      const from = first.lines.length
      for (const pid of await pidsOf(unit)) process.kill(pid, 'SIGKILL')
      await first.line(new RegExp(`${unit}(\\.1)? is ready`), { from })
      await moreDone(`${unit} was killed`)
    }
    first.signal('SIGTERM')
    expect(await first.exit()).toEqual({ code: 0, signal: null })
    expect(first.processes()).toEqual([])
    const lines = first.lines.slice(first.lines.findIndex((line) => line.includes('"msg":"Stopping')))
    expect(lines.filter((line) => /given back|cut off/.test(line))).toEqual([])
    producing = false

    await using second = start()
    await second.line('"msg":"Ready"')
    await load
    // Whoever wants to know what was packed takes it from the bus, whatever the language.
    await using reader = createBus({ url: `omnibus://${join(cwd, '.omnibus')}?spawn=false`, onEvent: () => undefined })
    await reader.consume(
      consume(
        packed,
        { concurrency: 100 },
        on(Packed, ({ id, data }) => {
          expect(id).toBe(`${data.item}-packed`)
          handled.write('handled', data.item)
        }),
      ),
    )
    await waitFor(() => check(folder).lost.length === 0, { what: 'everything to be handled', deadlineMs: 40_000 })
    const verdict = check(folder)
    expect(faults(verdict)).toEqual(noFaults)
    expect(verdict.confirmed).toBeGreaterThan(100)
    await bus.close({ deadlineMs: 1_000 })
    second.signal('SIGTERM')
    expect(await second.exit()).toEqual({ code: 0, signal: null })
  })

  test('ends with 69 when the app is dead for good', async () => {
    await using server = omnibus(['forward', '--queue', 'q', '--to', 'http://127.0.0.1:9/events', '--', 'sh', '-c', 'exit 3'])
    expect(await server.exit()).toEqual({ code: 69, signal: null })
    await server.line(/app.1 ended with code 3; given up/)
    expect(server.processes()).toEqual([])
  })
})

test('ends with 78 when there can be no such queue on the broker, and says why', async () => {
  await using broker = await startBroker()
  await using connection = connect(broker.tcpUrl)
  await connection.declare(queue('taken', { type: 'classic' }))
  const cases = [
    [broker.tcpUrl, ['--queue', 'taken'], /expected the queue \\?"taken\\?" as it exists, got type quorum/],
    [
      await sharedSqs(),
      ['--queue', 'line', '--ordered'],
      /expected a queue that this broker can have.*a FIFO queue, whose name ends with \.fifo/,
    ],
  ] as const
  for (const [url, flags, reason] of cases) {
    await using server = omnibus(['forward', ...flags, '--to', 'http://127.0.0.1:9/', '--bus-url', url])
    expect(await server.exit()).toEqual({ code: 78, signal: null })
    await server.line(reason)
  }
})
