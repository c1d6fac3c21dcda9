/** F12 to F14: connections are cut, go silent, and are slow. */
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import { type ConnectionOptions, queue } from '../../../src/index.ts'
import { startTcpProxy } from '../../support/tcp-proxy.ts'
import { waitFor } from '../../support/wait.ts'
import { faults, noFaults } from '../ledger.ts'
import { consume, produce } from '../load.ts'
import { type Row, type Scale, World } from '../world.ts'
import type { Victim } from '../victim.ts'

export const through = (url: string, port: number): string => {
  const cut = new URL(url)
  cut.port = `${port}`
  return cut.href
}

const PROBE_MS = 2_000

/** Every connection is cut again and again; after the last time each subscription gets a probe, and has two seconds for it. */
export async function cuts(victim: Victim, scale: Scale): Promise<Row> {
  const { times, everyMs } = scale === 'long' ? { times: 100, everyMs: 1_000 } : { times: 50, everyMs: 100 }
  const subscriptions = 100
  await using world = new World(victim.url)
  await using proxy = await startTcpProxy(victim.port)
  const url = through(victim.url, proxy.port)
  const direct = world.connect()
  const publisher = world.connect({ url })
  const ledger = world.ledger('producer')
  const own = world.ledger('consumer')
  const flow = world.connect({ url, onEvent: ({ type }) => void (type === 'up' && own.write('up')) })
  await consume({ connection: flow, queue: world.queue, ledger: own, prefetch: 50 })

  const probed = new Map<number, number>()
  const queues = Array.from({ length: subscriptions }, (_, n) => queue(`${world.queue.name}.${n}`, { type: 'classic', expiresMs: 600_000 }))
  // The backoff is the default one: it must not have grown out of reach by then.
  const connections = Array.from({ length: subscriptions / 5 }, () => world.connect({ url, backoff: { minMs: 100, maxMs: 30_000 } }))
  await Promise.all(
    queues.map((target, n) =>
      connections[n % connections.length]!.consume(target, async (delivery) => {
        probed.set(n, performance.now())
        await delivery.ack()
      }),
    ),
  )
  let flowing = true
  const more = async (): Promise<boolean> => {
    await pause(5)
    return flowing
  }
  const producing = produce({ connection: publisher, queue: world.queue, ledger, name: 'p', window: 10, more })
  for (let n = 0; n < times; n++) {
    await waitFor(() => proxy.connections > 0, { what: 'a connection to cut' })
    await pause(everyMs)
    proxy.cut()
  }
  const lastCut = performance.now()
  await Promise.all(queues.map((target) => direct.publish(target, 'probe')))
  await waitFor(() => probed.size === subscriptions, { what: 'every probe', deadlineMs: 60_000, everyMs: 5 })
  const inTime = [...probed.values()].filter((at) => at - lastCut <= PROBE_MS).length
  const slowest = Math.max(...probed.values()) - lastCut
  flowing = false
  await producing
  ledger.write('end')
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  expect(inTime).toBe(subscriptions)
  for (const target of queues) await direct.delete(target)
  return {
    did: `${times} cuts, one every ${everyMs} ms, while ${verdict.confirmed} messages flowed`,
    verdict,
    seen: `${inTime} of ${subscriptions} subscriptions handled a probe within ${PROBE_MS} ms of the last cut, the slowest in ${Math.round(slowest)} ms`,
  }
}

const NAMES = { both: 'both ways', up: 'to the broker', down: 'from the broker' } as const

/**
 * The network swallows everything, to the broker, from it, or both: no close, no reset, no error. Whoever hears nothing gives up after two
 * heartbeats; towards the broker that is the broker, and its own silence is what the client then hears.
 */
export async function blackHole(victim: Victim, scale: Scale): Promise<Row> {
  const heartbeatMs = scale === 'long' ? 1_000 : 400
  await using world = new World(victim.url)
  const noticed: string[] = []
  let settledLate = 0
  const directions = scale === 'long' ? (['both', 'up', 'down'] as const) : (['both'] as const)
  for (const direction of directions) {
    await using proxy = await startTcpProxy(victim.port)
    const url = through(victim.url, proxy.port)
    const ledger = world.ledger(`producer-${direction}`)
    const own = world.ledger(`consumer-${direction}`)
    let downAt: number | undefined
    const publisher = world.connect({
      url,
      heartbeatMs,
      deadlineMs: 3_000,
      onEvent: ({ type }) => {
        if (type === 'down') downAt ??= performance.now()
      },
    })
    const connection = world.connect({ url, heartbeatMs, onEvent: ({ type }) => void (type === 'up' && own.write('up')) })
    await consume({ connection, queue: world.queue, ledger: own, prefetch: 50 })
    let flowing = true
    const more = async (): Promise<boolean> => {
      await pause(5)
      return flowing
    }
    const producing = produce({ connection: publisher, queue: world.queue, ledger, name: direction, window: 20, more })
    await waitFor(() => ledger.count('confirmed') > 100 && own.count('handled') > 100, { what: 'messages to flow' })
    proxy.blackhole(direction)
    const at = performance.now()
    await waitFor(() => downAt !== undefined, { what: 'the silence to be noticed', deadlineMs: 60_000 })
    noticed.push(`${NAMES[direction]} ${Math.round(downAt! - at)} ms`)
    proxy.restore()
    const [confirmed, handled] = [ledger.count('confirmed'), own.count('handled')]
    await waitFor(() => ledger.count('confirmed') > confirmed + 50 && own.count('handled') > handled + 50, {
      what: 'messages to flow again',
      deadlineMs: 60_000,
    })
    flowing = false
    await producing
    settledLate += ledger.count('failed')
    ledger.write('end')
    await Promise.all([publisher.close(), connection.close()])
  }
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  return {
    did: `${directions.map((direction) => NAMES[direction]).join(', ')}, with a heartbeat of ${heartbeatMs} ms`,
    verdict,
    seen: `noticed: ${noticed.join(', ')}; ${settledLate} publishes rejected at their deadline, none hung`,
  }
}

/** Bodies of 64 KB over a link that carries less than four of them a second: nobody is taken for dead, and little is kept in memory. */
export async function slowLink(victim: Victim, scale: Scale): Promise<Row> {
  const { count, heartbeatMs } = { count: scale === 'long' ? 60 : 12, heartbeatMs: 1_500 }
  const bytesPerSecond = 300_000
  await using world = new World(victim.url)
  await using proxy = await startTcpProxy(victim.port)
  const url = through(victim.url, proxy.port)
  const ledger = world.ledger('producer')
  const own = world.ledger('consumer')
  const downs: string[] = []
  const onEvent: ConnectionOptions['onEvent'] = (event) => void (event.type === 'down' && downs.push(String(event.error)))
  const publisher = world.connect({ url, heartbeatMs, onEvent })
  const connection = world.connect({ url, heartbeatMs, onEvent })
  await connection.declare(world.queue)
  await publisher.ready()
  proxy.slow(bytesPerSecond)
  let left = count
  const bodyOf = (id: string): string => id.padEnd(64 * 1024, ' ')
  const idOf = (body: string): string => body.slice(0, body.indexOf(' '))
  const rssBefore = process.memoryUsage.rss()
  const begin = performance.now()
  const producing = produce({ connection: publisher, queue: world.queue, ledger, name: 'p', window: 10, more: () => left-- > 0, bodyOf })
  // Handled later than all is there, so that a full window is on the way at once.
  await producing
  await consume({ connection, queue: world.queue, ledger: own, prefetch: 100, idOf })
  await waitFor(() => own.count('acked') >= count, { what: 'all to be handled', deadlineMs: 300_000 })
  const grownMiB = Math.round((process.memoryUsage.rss() - rssBefore) / 1024 / 1024)
  ledger.write('end')
  const verdict = await world.drained(idOf)
  expect(downs).toEqual([])
  expect(faults(verdict)).toEqual(noFaults)
  return {
    did: `${count} bodies of 64 KiB at ${bytesPerSecond / 1_000} kB/s each way, with a heartbeat of ${heartbeatMs} ms`,
    verdict,
    seen: `${Math.round((performance.now() - begin) / 1_000)} s, and no connection was taken for dead; memory grew by ${Math.max(0, grownMiB)} MiB`,
  }
}
