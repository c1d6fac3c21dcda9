/** F34 and F36 in the middle of a body that is written to the disk as it arrives: the disk fills up, and the broker is killed. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { startBroker, startOnSmallDisk } from '../../broker/processes.ts'
import { freePort } from '../../support/ports.ts'
import { tempDir } from '../../support/run-folder.ts'
import { waitFor } from '../../support/wait.ts'
import { faults, noFaults, type Verdict } from '../ledger.ts'
import { consume, produce } from '../load.ts'
import { type Row, type Scale, World } from '../world.ts'

const MIB = 1024 * 1024
const SIZE = 4 * MIB
const WINDOW = 3

/** Every byte tells whose it is. */
const bodyOf = (id: string): string => id.padEnd(SIZE, ` ${id}`)

/** An id that was never sent where the body is not whole, so that the ledger shows it as unexpected. */
function idOf(body: string): string {
  const [id = ''] = body.split(' ', 1)
  return body === bodyOf(id) ? id : `torn.${id}`
}

const sizes = (data: string): number[] =>
  readdirSync(join(data, 'bodies')).map((name) => statSync(join(data, 'bodies', name), { throwIfNoEntry: false })?.size ?? 0)

const half = (size: number): boolean => size > 0 && size < SIZE

async function judged(world: World, data: string): Promise<Verdict> {
  const verdict = await world.drained(idOf)
  expect(faults(verdict)).toEqual(noFaults)
  // Neither the half ones stay nor those that were handled.
  await waitFor(() => sizes(data).length === 0, { what: 'the files of the bodies to be gone' })
  return verdict
}

/** Killed while a file has part of a body: what was confirmed is whole, what was not is whole or not there. */
export async function killedInLargeBodies(scale: Scale): Promise<Row> {
  const times = scale === 'long' ? 25 : 3
  const options = { data: tempDir('large'), listen: `127.0.0.1:${await freePort()}` }
  let broker = await startBroker(options)
  await using world = new World(broker.url)
  const ledger = world.ledger('producer')
  let flowing = true
  const more = async (): Promise<boolean> => flowing
  const producing = produce({ connection: world.connect(), queue: world.queue, ledger, name: 'p', window: WINDOW, more, bodyOf })
  for (let n = 0; n < times; n++) {
    const before = ledger.count('confirmed')
    await waitFor(() => ledger.count('confirmed') > before + WINDOW, { what: 'bodies to be confirmed' })
    await waitFor(() => sizes(options.data).some(half), { what: 'half a body', everyMs: 0 })
    broker.process.signal('SIGKILL')
    await broker.process.exit()
    broker = await startBroker(options)
  }
  await using _ = broker.process
  flowing = false
  await producing
  ledger.write('end')
  const verdict = await judged(world, options.data)
  expect(verdict.confirmed).toBeGreaterThan(times * WINDOW)
  return { did: `${times} times, each while a body of 4 MiB was written`, verdict, seen: 'every body whole, and no file left behind' }
}

/** There is room for some bodies and a part of one more: it is refused, takes no room, and comes again when there is some. */
export async function fullOfLargeBodies(scale: Scale): Promise<Row> {
  const rounds = scale === 'long' ? 10 : 2
  const { broker, url, data } = await startOnSmallDisk(5.5 * SIZE, { minFreeBytes: 0 })
  await using _ = broker
  await using world = new World(url)
  const ledger = world.ledger('producer')
  for (let round = 0; round < rounds; round++) {
    let flowing = true
    const more = (): boolean => flowing
    const producing = produce({ connection: world.connect(), queue: world.queue, ledger, name: `p${round}`, window: WINDOW, more, bodyOf })
    const failed = ledger.count('failed')
    await waitFor(() => ledger.count('failed') > failed + WINDOW, { what: 'bodies to be refused' })
    const own = world.ledger(`consumer-${round}`)
    const consuming = world.connect()
    await consume({ connection: consuming, queue: world.queue, ledger: own, prefetch: 2, idOf })
    const confirmed = ledger.count('confirmed')
    await waitFor(() => ledger.count('confirmed') > confirmed + WINDOW, { what: 'bodies to be taken again' })
    flowing = false
    await producing
    await consuming.close()
  }
  ledger.write('end')
  const verdict = await judged(world, data)
  broker.signal('SIGTERM')
  expect(await broker.exit()).toEqual({ code: 0, signal: null })
  return {
    did: `${rounds} times under load with bodies of 4 MiB, to the last byte`,
    verdict,
    seen: `${ledger.count('failed')} bodies rejected as nacked, every other one whole, and no file left behind`,
  }
}
