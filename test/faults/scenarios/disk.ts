/** F34 and F35: under load the disk fills up, is full, and fails to sync. */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { startOnSmallDisk } from '../../broker/processes.ts'
import { injecting } from '../../support/injection.ts'
import { root } from '../../support/omnibus.ts'
import { freePort } from '../../support/ports.ts'
import { run } from '../../support/process.ts'
import { tempDir } from '../../support/run-folder.ts'
import { waitFor } from '../../support/wait.ts'
import { faults, noFaults } from '../ledger.ts'
import { consume, produce } from '../load.ts'
import { type Row, type Scale, World } from '../world.ts'

const MIB = 1024 * 1024
const WINDOW = 50
const PREFETCH = 50

/** Somebody else's file takes this much, or all there is. */
function fill(file: string, bytes = Infinity): void {
  const fd = openSync(file, 'w')
  try {
    for (let left = bytes; left > 0; left -= MIB) writeSync(fd, Buffer.alloc(Math.min(left, MIB)))
  } catch (error) {
    if (Reflect.get(error as Error, 'code') !== 'ENOSPC') throw error
  } finally {
    closeSync(fd)
  }
}

/** With a reserve, publishers are stopped before the disk is full; consumers go on, and make the room themselves. */
export async function fillingDisk(scale: Scale): Promise<Row> {
  const rounds = scale === 'long' ? 5 : 1
  const [bytes, minFreeBytes] = [16 * MIB, 4 * MIB]
  const { broker, url, data } = await startOnSmallDisk(bytes, { minFreeBytes })
  await using _ = broker
  await using world = new World(url)
  const ledger = world.ledger('producer')
  const events: string[] = []
  const publisher = world.connect({ deadlineMs: 1_000, onEvent: ({ type }) => void events.push(type) })
  fill(join(data, 'filler'), bytes - minFreeBytes - 2 * MIB)
  let slowest = 0
  for (let round = 0; round < rounds; round++) {
    let flowing = true
    const producing = produce({ connection: publisher, queue: world.queue, ledger, name: `p${round}`, window: WINDOW, more: () => flowing })
    const refused = ledger.count('failed')
    await waitFor(() => ledger.count('failed') >= refused + WINDOW, { what: 'publishes to be rejected', deadlineMs: 60_000 })
    expect(events.at(-1)).toBe('blocked')
    flowing = false
    await producing
    const own = world.ledger(`consumer-${round}`)
    const connection = world.connect()
    await consume({ connection, queue: world.queue, ledger: own, prefetch: PREFETCH })
    const emptied = async (): Promise<boolean> => (await connection.inspect(world.queue)).messages === 0
    await waitFor(async () => (await emptied()) && own.count('acked') === own.count('delivered'), { what: 'the queue to be emptied' })
    const at = performance.now()
    await waitFor(() => events.at(-1) === 'unblocked', { what: 'publishers to go on', everyMs: 5 })
    slowest = Math.max(slowest, performance.now() - at)
    await connection.close()
  }
  expect(broker.lines.filter((line) => /store-(full|failed)/.test(line))).toEqual([])
  ledger.write('end')
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  return {
    did: `${rounds} times under load, with a reserve of 4 MiB`,
    verdict,
    seen: `${ledger.count('failed')} publishes rejected at their deadline, and no write for want of room; every ack was taken, and ${Math.round(slowest)} ms after the last at most publishers went on`,
  }
}

/** Without a reserve, all there is taken by somebody else at once: what has no room is refused, and taken again once there is some. */
export async function fullDisk(scale: Scale): Promise<Row> {
  const rounds = scale === 'long' ? 5 : 1
  const { broker, url, data } = await startOnSmallDisk(8 * MIB, { minFreeBytes: 0 })
  await using _ = broker
  await using world = new World(url)
  const ledger = world.ledger('producer')
  const connection = world.connect()
  let slowest = 0
  for (let round = 0; round < rounds; round++) {
    let flowing = true
    const producing = produce({ connection, queue: world.queue, ledger, name: `p${round}`, window: WINDOW, more: () => flowing })
    const before = { confirmed: ledger.count('confirmed'), failed: ledger.count('failed') }
    await waitFor(() => ledger.count('confirmed') > before.confirmed + 500, { what: 'messages to flow' })
    fill(join(data, 'filler'))
    await waitFor(() => ledger.count('failed') >= before.failed + 500, { what: 'publishes to be refused' })
    const own = world.ledger(`consumer-${round}`)
    const consuming = world.connect()
    await consume({ connection: consuming, queue: world.queue, ledger: own, prefetch: PREFETCH })
    await waitFor(() => own.count('acked') > 500, { what: 'consumers to go on' })
    const confirmed = ledger.count('confirmed')
    rmSync(join(data, 'filler'))
    const at = performance.now()
    await waitFor(() => ledger.count('confirmed') > confirmed + WINDOW, { what: 'publishes to be taken again', everyMs: 5 })
    slowest = Math.max(slowest, performance.now() - at)
    flowing = false
    await producing
    await consuming.close()
  }
  expect(broker.lines.filter((line) => line.includes('store-full')).length).toBeGreaterThanOrEqual(rounds)
  ledger.write('end')
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  broker.signal('SIGTERM')
  expect(await broker.exit()).toEqual({ code: 0, signal: null })
  return {
    did: `${rounds} times under load, to the last byte`,
    verdict,
    seen: `${ledger.count('failed')} publishes rejected as nacked, consumers went on; ${Math.round(slowest)} ms after there was room at most, publishes were taken again, without a restart`,
  }
}

/** The broker ends when it cannot know any more what is on disk, and the next one finds all that was promised. */
export async function failingDisk(scale: Scale): Promise<Row> {
  const times = scale === 'long' ? 10 : 1
  const [data, port] = [tempDir('failing-disk'), await freePort()]
  const command = [process.execPath, join(root, 'dist', 'cli', 'main.js'), 'broker', '--data', data, '--listen', `127.0.0.1:${port}`]
  await using world = new World(`amqp://guest:guest@127.0.0.1:${port}`)
  const [ledger, own] = [world.ledger('producer'), world.ledger('consumer')]
  let flowing = true
  const more = async (): Promise<boolean> => {
    const keepsUp = (): boolean => ledger.count('confirmed') - own.count('handled') < 1_000
    await waitFor(() => keepsUp() || !flowing, { what: 'the consumer to keep up', deadlineMs: 60_000 })
    return flowing
  }
  const producing = produce({ connection: world.connect(), queue: world.queue, ledger, name: 'p', window: WINDOW, more })
  const connection = world.connect({ onEvent: ({ type }) => void (type === 'up' && own.write('up')) })
  const consuming = consume({ connection, queue: world.queue, ledger: own, prefetch: PREFETCH })
  for (let n = 0; n < times; n++) {
    await using failing = run('strace', injecting(`fsync:error=EIO:when=${40 + 7 * n}+`, command), { label: 'failing-disk' })
    await failing.line('accepts on')
    expect(await failing.exit()).toEqual({ code: 70, signal: null })
    await failing.line('store-failed')
    await using next = run(command[0]!, command.slice(1), { label: 'next' })
    await consuming
    const before = { confirmed: ledger.count('confirmed'), handled: own.count('handled') }
    const enough = (): boolean => ledger.count('confirmed') > before.confirmed + 500 && own.count('handled') > before.handled + 500
    await waitFor(enough, { what: 'messages to flow again', deadlineMs: 60_000 })
    next.signal('SIGTERM')
    expect(await next.exit()).toEqual({ code: 0, signal: null })
  }
  await using _ = run(command[0]!, command.slice(1), { label: 'last' })
  flowing = false
  await producing
  ledger.write('end')
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  // Those whose acks the failed commit held, and those delivered in their place.
  const bound = (WINDOW + 2 * PREFETCH) * times
  expect(verdict.duplicates).toBeLessThanOrEqual(bound)
  return {
    did: `${times} times, and from then on each`,
    verdict,
    seen: `the broker ended with exit code 70 each time; ${ledger.count('failed')} publishes were rejected, at most ${bound} may come twice`,
  }
}
