/** Bodies that lie on the disk: whole wherever they come out, gone with the last message that has them, and never much of the memory. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, queue } from 'omnibus'
import { describe, expect, test } from 'vitest'
import type { LargeBody } from '../../src/broker/engine/index.ts'
import { encodeProperties } from '../../src/broker/engine/index.ts'
import { salvage, startBroker as startHere } from '../../src/broker/index.ts'
import { openStore, type SqliteStore } from '../../src/broker/store/sqlite-store.ts'
import { canTrace, injecting } from '../support/injection.ts'
import { run } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { harness, type Harness, type Peer } from './engine-harness.ts'
import { ownership, SCRIPT, startBroker } from './processes.ts'
import { opened } from './raw-client.ts'

const MIB = 1024 * 1024
const SIZE = 2 * MIB

interface Place {
  readonly data: string
  readonly store: SqliteStore
  readonly h: Harness
  readonly p: Peer
}

function open(data = tempDir('large')): Place {
  const store = openStore(join(data, 'broker.db'))
  const h = harness(store)
  return { data, store, h, p: h.peer() }
}

const files = (data: string): string[] => (existsSync(join(data, 'bodies')) ? readdirSync(join(data, 'bodies')) : [])

function publish({ h, p }: Place, routingKey: string, exchange = ''): Buffer {
  const bytes = randomBytes(SIZE)
  const sink = h.engine.receive(SIZE)!
  for (let at = 0; at < SIZE; at += 100_000) sink.write(bytes.subarray(at, at + 100_000))
  p.channel.publish({ exchange, routingKey, properties: encodeProperties({ messageId: 'large' }), body: sink.finish() }, false, 1)
  h.turn()
  return bytes
}

function read(body: Uint8Array | LargeBody): Buffer {
  if (body instanceof Uint8Array) throw new Error('the body is in memory')
  const reader = body.open()
  const pieces: Uint8Array[] = []
  while (reader.left > 0) pieces.push(reader.read(131_072))
  reader.close()
  return Buffer.concat(pieces)
}

const get = ({ p }: Place, name: string) => p.channel.get(name, false)!

describe('a large body', () => {
  test('goes to several queues as one file, comes back after a restart, and goes with the last message', () => {
    let place = open()
    const { data } = place
    for (const name of ['a', 'b']) {
      place.h.queue(name)
      place.h.engine.bind(name, 'amq.fanout', '', {}, {})
    }
    const bytes = publish(place, '', 'amq.fanout')
    expect(files(data)).toHaveLength(1)
    expect(place.store.usedBytes()).toBeGreaterThan(SIZE)
    place.store.close(false)

    place = open(data)
    const first = get(place, 'a')
    expect(read(first.message.body).equals(bytes)).toBe(true)
    place.p.channel.giveBack(first.tag, false, 'failed')
    const again = get(place, 'a')
    expect(read(again.message.body).equals(bytes)).toBe(true)
    place.p.channel.ack(again.tag, false)
    place.h.engine.flush()
    expect(files(data)).toHaveLength(1)
    place.p.channel.ack(get(place, 'b').tag, false)
    place.h.engine.flush()
    expect(files(data)).toEqual([])
    place.store.close(true)
  })

  // The store itself uses no `fdatasync`, and the folder of the bodies is synced for their names alone.
  test.runIf(canTrace).each([
    ['bytes', 'fdatasync', false],
    ['name', 'fsync', true],
  ] as const)('whose %s cannot be synced is not confirmed', async (_, call, ofFolder) => {
    const data = tempDir('large')
    mkdirSync(join(data, 'bodies'))
    const command = [process.execPath, SCRIPT, JSON.stringify({ data, listen: '127.0.0.1:0' })]
    const where = ofFolder ? ['-P', join(data, 'bodies')] : []
    await using broker = run('strace', [...where, ...injecting(`${call}:error=EIO`, command)], { label: 'failing-sync' })
    const { url } = await ownership(broker)
    await using connection = connect(url)
    const kept = queue('kept', { type: 'classic' })
    await connection.publish(kept, Buffer.alloc(1000))
    await expect(connection.publish(kept, Buffer.alloc(SIZE))).rejects.toThrow('The broker nacked the message')
    expect(files(data)).toEqual([])
  })

  test.each<[string, boolean, (place: Place) => void]>([
    ['a purge', true, ({ h }) => expect(h.engine.purge('q', {})).toBe(1)],
    ['a purge of a transient queue', false, ({ h }) => expect(h.engine.purge('q', {})).toBe(1)],
    ['the deletion of its queue', true, ({ h }) => void h.engine.deleteQueue('q', {}, { ifUnused: false, ifEmpty: false })],
    ['the deletion of a transient queue', false, ({ h }) => void h.engine.deleteQueue('q', {}, { ifUnused: false, ifEmpty: false })],
  ])('goes with %s', (_, durable, remove) => {
    const place = open()
    place.h.queue('q', {}, { durable })
    publish(place, 'q')
    expect(files(place.data)).toHaveLength(1)
    remove(place)
    place.h.engine.flush()
    expect(files(place.data)).toEqual([])
    place.store.close(true)
  })

  test('goes on as a dead letter, rejected or expired', () => {
    const place = open()
    const letters = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' }
    place.h.queue('dead')
    place.h.queue('rejecting', letters)
    place.h.queue('expiring', { ...letters, 'x-message-ttl': 50 })
    const bodies = [publish(place, 'rejecting'), publish(place, 'expiring')]
    place.p.channel.reject(get(place, 'rejecting').tag, false)
    place.h.turn()
    place.h.clock.pass(60)
    place.h.turn()
    for (const bytes of bodies) expect(read(get(place, 'dead').message.body).equals(bytes)).toBe(true)
    place.p.channel.ack(0, true)
    place.h.engine.flush()
    expect(files(place.data)).toEqual([])
    place.store.close(true)
  })

  test('leaves nothing behind when it is not finished, not stored, or its broker is killed', () => {
    const place = open()
    place.h.queue('q')
    const half = place.h.engine.receive(SIZE)!
    half.write(randomBytes(1000))
    half.discard()
    expect(files(place.data)).toEqual([])
    // Nobody wants it; then one that is half there.
    publish(place, 'nobody')
    place.h.engine.receive(SIZE)!.write(randomBytes(1000))
    expect(files(place.data)).toHaveLength(2)
    place.store.close(false)
    const next = open(place.data)
    expect(files(place.data)).toEqual([])
    next.store.close(true)
  })

  test('that is missing is refused by name, and salvaging keeps the rest', () => {
    const place = open()
    place.h.queue('q')
    publish(place, 'q')
    const bytes = publish(place, 'q')
    place.store.close(true)
    const [lost = ''] = files(place.data).toSorted()
    rmSync(join(place.data, 'bodies', lost))
    expect(() => openStore(join(place.data, 'broker.db'))).toThrow(/is damaged: the body in .*bodies\/1 is not whole/)
    expect(salvage(place.data)).toMatchObject({ queues: 1, messages: 1, damaged: 1 })
    const next = open(place.data)
    expect(read(get(next, 'q').message.body).equals(bytes)).toBe(true)
    expect(next.p.channel.get('q', false)).toBeUndefined()
    next.store.close(true)
  })
})

test('what follows a large body on its channel waits for its end, and other channels do not', async () => {
  const broker = await startHere({ data: tempDir('large') })
  using client = await opened({ path: broker.address!.socket })
  await client.call(2, 'channel.open', {}, 'channel.open-ok')
  await client.call(1, 'queue.declare', { queue: 'q', durable: true }, 'queue.declare-ok')
  const body = randomBytes(MIB / 2).toString('hex')
  await client.call(1, 'confirm.select', {}, 'confirm.select-ok')
  client.writer.content(1, 'basic.publish', { exchange: '', routingKey: 'q' }, {}, Buffer.from(body))
  await client.next('basic.ack')
  // More than may wait for a slow reader, so that the rest of it comes in later turns.
  client.socket.pause()
  client.send(1, 'basic.get', { queue: 'q' })
  client.send(1, 'queue.declare', { queue: 'q', durable: true })
  client.send(1, 'channel.close', { replyCode: 200, replyText: '', classId: 0, methodId: 0 })
  client.send(2, 'queue.declare', { queue: 'other' })
  client.writer.flush()
  await waitFor(() => broker.stats()?.queues.some(({ name }) => name === 'other'), { what: 'the broker to have read all of it' })
  client.socket.resume()
  await client.next('channel.close-ok', 1)
  expect(client.got.filter(({ channel }) => channel === 2)).toEqual([])
  expect(client.contents.map((content) => content.body === body)).toEqual([true])
  // The number of the channel is free again.
  await client.call(1, 'channel.open', {}, 'channel.open-ok')
  client.socket.destroy()
  await broker.stop()
})

const peakMiB = (pid: number): number => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

test('ten bodies of 25 MiB in flight take a fraction of them in memory, and survive a kill', async () => {
  const data = tempDir('large')
  const options = { data, listen: '127.0.0.1:0', maxBodyBytes: 32 * MIB }
  const before = await startBroker(options)
  const fresh = peakMiB(before.process.pid)
  const many = queue('large', { type: 'classic' })
  const payloads = Array.from({ length: 10 }, (_, n) => Buffer.alloc(25 * MIB, randomBytes(64 * 1024 + n)))
  {
    await using connection = connect(before.url, { maxBodyBytes: 32 * MIB, deadlineMs: 120_000 })
    await connection.declare(many)
    await Promise.all(payloads.map((payload) => connection.publish(many, payload)))
  }
  expect(peakMiB(before.process.pid) - fresh).toBeLessThan(120)
  before.process.signal('SIGKILL')
  await before.process.exit()
  // What was half there.
  writeFileSync(join(data, 'bodies', '999'), 'half')

  const after = await startBroker(options)
  expect(statSync(join(data, 'bodies', '1')).size).toBe(25 * MIB)
  expect(files(data)).toHaveLength(10)
  const idle = peakMiB(after.process.pid)
  const arrived: string[] = []
  {
    await using connection = connect(after.url, { maxBodyBytes: 32 * MIB })
    await connection.consume(
      many,
      (delivery) => {
        arrived.push(hash(delivery.payload as Uint8Array))
        void delivery.ack()
      },
      { prefetch: 10 },
    )
    await waitFor(() => arrived.length === 10, { what: 'all bodies to arrive', deadlineMs: 120_000 })
    await waitFor(() => files(data).length === 0, { what: 'the files to be gone' })
  }
  expect(arrived.toSorted()).toEqual(payloads.map(hash).toSorted())
  expect(peakMiB(after.process.pid) - idle).toBeLessThan(120)
  after.process.signal('SIGTERM')
  await after.process.exit()
}, 180_000)
