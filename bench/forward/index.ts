/** Messages by HTTP: a queue of the built-in broker sent to an app that does nothing, and messages taken by HTTP into one; 256 B of JSON. */
import { join } from 'node:path'
import { connect, queue } from 'omnibus'
import { type BrokerProcess, startBroker } from '../../test/support/broker.ts'
import { omnibus } from '../../test/support/omnibus.ts'
import { freePort } from '../../test/support/ports.ts'
import { run, type Running } from '../../test/support/process.ts'
import { type BenchOptions, cpuOf, printTable, rateOf, thousands } from '../amqp/report.ts'
import type { Measured } from '../amqp/workload.ts'
import { cpuTicks } from '../supervisor/server.ts'
import { wrk } from '../supervisor/wrk.ts'

const COUNT = 40_000
/** Requests under way: in order, by default, and many. */
const CONCURRENCIES = [1, 10, 100]
const GATEWAY_SECONDS = 5
const TICKS_PER_SECOND = 100
const BODY = { text: 'x'.repeat(244) }

export async function benchForward({ rounds, scale }: BenchOptions): Promise<void> {
  await using broker = await startBroker()
  const sent = new Map<number, Measured[]>(CONCURRENCIES.map((concurrency) => [concurrency, []]))
  const taken: Measured[] = []
  for (let round = 0; round < rounds; round++) {
    for (const [concurrency, results] of sent) results.push(await sending(broker, concurrency, Math.round(COUNT * scale)))
    taken.push(await taking(broker, GATEWAY_SECONDS * scale))
  }
  const row = (name: string, results: readonly Measured[]): string[] => [
    name,
    `${thousands(rateOf(results))} k/s`,
    `${cpuOf(results).toFixed(0)} µs`,
  ]
  printTable(
    'Messages by HTTP',
    ['', 'messages', 'CPU of each'],
    [
      ...[...sent].map(([concurrency, results]) => row(`forward, concurrency ${concurrency}`, results)),
      row('gateway, 64 connections', taken),
    ],
  )
}

/** From the first fifth on, which is warm, to the last. */
async function sending(broker: BrokerProcess, concurrency: number, count: number): Promise<Measured> {
  const name = `sent.${concurrency}.${Date.now()}`
  await using connection = connect(broker.tcpUrl)
  await connection.declare(queue(name))
  await Promise.all(Array.from({ length: count }, () => connection.publish('', name, BODY)))
  await using target = run(process.execPath, [join(import.meta.dirname, 'target.ts'), String(count)], { label: 'target' })
  const port = (await target.line(/^port /)).slice('port '.length)
  const flags = ['--queue', name, '--to', `http://127.0.0.1:${port}/`, '--concurrency', String(concurrency), '--bus-url', broker.tcpUrl]
  await using forwarder = omnibus(['forward', ...flags])
  await target.line('warm', { deadlineMs: 120_000 })
  const [beganAt, began] = [performance.now(), cpuSeconds(forwarder)]
  await target.line('done', { deadlineMs: 120_000 })
  return measured(count - Math.floor(count / 5), performance.now() - beganAt, cpuSeconds(forwarder) - began)
}

async function taking(broker: BrokerProcess, seconds: number): Promise<Measured> {
  const port = await freePort()
  await using gateway = omnibus(['forward', '--listen', `127.0.0.1:${port}`, '--bus-url', broker.tcpUrl])
  await gateway.line('takes messages on')
  await using connection = connect(broker.tcpUrl)
  const name = `taken.${Date.now()}`
  await connection.declare(queue(name))
  const url = `http://127.0.0.1:${port}/publish?routing_key=${name}`
  const script = join(import.meta.dirname, 'post.lua')
  await wrk(url, 1, script)
  const [beganAt, began] = [performance.now(), cpuSeconds(gateway)]
  const { requests } = await wrk(url, Math.max(1, Math.round(seconds)), script)
  return measured(requests, performance.now() - beganAt, cpuSeconds(gateway) - began)
}

const measured = (count: number, ms: number, cpu: number): Measured => ({
  perSecond: count / (ms / 1_000),
  cpuMicroseconds: (cpu / count) * 1_000_000,
})

/** Of all processes of this tree but the master. */
function cpuSeconds(running: Running): number {
  const workers = running.processes().filter((pid) => pid !== running.pid)
  return workers.reduce((sum, one) => sum + cpuTicks(one), 0) / TICKS_PER_SECOND
}
