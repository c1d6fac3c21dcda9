/** F42 and F44: several brokers want one folder, and others open its files. */
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { readAnnouncement } from '../../../src/broker/index.ts'
import { inspect, SCRIPT, spawnBroker } from '../../broker/processes.ts'
import { run, runToEnd } from '../../support/process.ts'
import { tempDir } from '../../support/run-folder.ts'
import { waitFor } from '../../support/wait.ts'
import { check, faults, noFaults, summed, type Verdict } from '../ledger.ts'
import { produce } from '../load.ts'
import { type Row, type Scale, World } from '../world.ts'

const WINDOW = 50
const PREFETCH = 50
const STORE = ['broker.db', 'broker.db-wal', 'broker.db-shm'] as const
const fixture = (name: string): string => join(import.meta.dirname, '..', 'fixtures', name)

/** Where the owner of the folder is; a client starts none of its own. */
const urlOf = (data: string): string => `omnibus://${data}?spawn=false`

/** Three are started at once on an empty folder; whoever owns it is killed, and another comes instead. */
export async function oneOwner(scale: Scale): Promise<Row> {
  const kills = scale === 'long' ? 20 : 3
  const data = tempDir('folder')
  await using brokers = new AsyncDisposableStack()
  const running = Array.from({ length: 3 }, () => brokers.use(spawnBroker({ data })))
  const owners = (): number => running.flatMap(({ lines }) => lines.filter((line) => line.includes('"type":"owner"'))).length
  let owner = (await waitFor(() => readAnnouncement(data), { what: 'an owner' })).pid
  await using world = new World(urlOf(data))
  const names = ['a', 'b']
  const producers = names.map((name) => world.spawn('producer', `producer-${name}`, { WINDOW: `${WINDOW}` }))
  const consumers = names.map((name) => world.spawn('consumer', `consumer-${name}`, { PREFETCH: `${PREFETCH}` }))
  const written = (event: 'confirmed' | 'handled'): number =>
    names.reduce((sum, name) => sum + world.written(`${event === 'handled' ? 'consumer' : 'producer'}-${name}`, event), 0)
  const flows = async (): Promise<void> => {
    const before = { confirmed: written('confirmed'), handled: written('handled') }
    const enough = (): boolean => written('confirmed') > before.confirmed + 200 && written('handled') > before.handled + 200
    await waitFor(enough, { what: 'messages to flow', deadlineMs: 60_000 })
  }
  await flows()
  for (let n = 0; n < kills; n++) {
    const former = running.find(({ pid }) => pid === owner)
    expect(former, `one of the brokers owns the folder, and ${owner} is none of them`).toBeDefined()
    former!.signal('SIGKILL')
    await former!.exit()
    running.push(brokers.use(spawnBroker({ data })))
    owner = await waitFor(() => [readAnnouncement(data)?.pid].find((pid) => pid !== undefined && pid !== owner), { what: 'an heir' })
    await flows()
  }
  for (const name of names) expect(world.written(`producer-${name}`, 'failed')).toBe(0)
  for (const producer of producers) producer.signal('SIGKILL')
  for (const consumer of consumers) consumer.signal('SIGTERM')
  for (const consumer of consumers) expect(await consumer.exit()).toEqual({ code: 0, signal: null })
  await Promise.all(producers.map((producer) => producer.exit()))
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  expect(owners()).toBe(kills + 1)
  const bound = names.length * (WINDOW + PREFETCH) * (kills + 1)
  expect(verdict.duplicates).toBeLessThanOrEqual(bound)
  return {
    did: `started at once, the owner killed ${kills} times while ${verdict.confirmed} messages flowed, and another started instead`,
    verdict,
    seen: `one owned it at a time, ${kills + 1} in all; at most ${bound} may come twice`,
  }
}

/**
 * Messages are published; then files of the store are copied, a reader opens the store and leaves, and the broker is killed after
 * more messages. `inside` are those that code in the broker's own process copies, instead of another program all of them.
 */
async function copied(rounds: number, inside: readonly string[] = []): Promise<Verdict> {
  const data = tempDir('copied')
  await using world = new World(urlOf(data))
  const ledger = world.ledger('producer')
  const connection = world.connect()
  const preload = inside.length === 0 ? [] : ['--import', fixture('lock-dropper.ts')]
  for (let round = 0; round < rounds; round++) {
    await using broker = run(process.execPath, [...preload, SCRIPT, JSON.stringify({ data })], {
      label: 'copied',
      env: { COPIED: inside.join(' ') },
    })
    await broker.line('"type":"owner"')
    const publish = async (when: string): Promise<void> => {
      let left = 300
      await produce({ connection, queue: world.queue, ledger, name: `${when}-${round}`, window: WINDOW, more: () => left-- > 0 })
    }
    await publish('before')
    if (inside.length === 0) for (const name of STORE) copyFileSync(join(data, name), join(tempDir('copy'), name))
    else {
      broker.signal('SIGUSR2')
      await broker.line('copied')
    }
    const reader = await runToEnd(process.execPath, [fixture('store-reader.ts'), join(data, STORE[0])])
    expect(reader.output).toBe(`${ledger.count('confirmed')} messages`)
    await publish('after')
    broker.signal('SIGKILL')
    await broker.exit()
  }
  ledger.write('end')
  const { integrity, bodies } = inspect(data)
  expect(integrity).toBe('ok')
  return check(world.folder, { queued: [...bodies] })
}

/**
 * Any program may copy and read the files, and the SQLite in Node 24 bears it when code in the broker's process copies the main one.
 * Beyond that it cannot: nothing there opens any of them, which `file-rule.test.ts` holds.
 */
export async function lockDrop(scale: Scale): Promise<Row> {
  const rounds = scale === 'long' ? 10 : 1
  const verdict = summed([await copied(rounds), await copied(rounds, [STORE[0]])])
  expect(faults(verdict)).toEqual(noFaults)
  // Else this could find nothing. Again where the broker wrote its log back in the moment before it was killed.
  const loses = async (): Promise<Verdict | undefined> => [await copied(1, STORE)].find(({ lost }) => lost.length > 0)
  const all = await waitFor(loses, { what: 'a copy of all the files within the process to lose messages', deadlineMs: 60_000 })
  return {
    did: `${2 * rounds} times, half of them within the broker's process; read by a short program; the broker killed after 300 more messages`,
    verdict,
    seen: `had code in the broker's process copied the log and its index too, ${all.lost.length} of ${all.confirmed} would be lost: nothing there opens them`,
  }
}
