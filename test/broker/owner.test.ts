import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import amqp from 'amqplib'
import { describe, expect, test } from 'vitest'
import { readAnnouncement, startBroker as startHere } from '../../src/broker/index.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { ownership, spawnBroker, startBroker } from './processes.ts'

const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8)
const accepts = (socket: string): Promise<boolean> =>
  new Promise((resolve) => {
    const client = connect(socket, () => {
      client.destroy()
      resolve(true)
    })
    client.on('error', () => resolve(false))
  })

describe('one owner per folder', () => {
  test('of several started at once one owns the folder, and another takes over when it is killed', async () => {
    const data = join(tempDir('race'), 'data')
    const all = [spawnBroker({ data }), spawnBroker({ data }), spawnBroker({ data })]
    await using stack = new AsyncDisposableStack()
    for (const each of all) stack.use(each)
    const said = (index: number): 'owner' | 'standby' | undefined =>
      (['owner', 'standby'] as const).find((type) => all[index]?.lines.some((line) => line.includes(`"type":"${type}"`)))
    await waitFor(() => all.every((_, index) => said(index)), { what: 'all to know what they are' })
    const states = all.map((_, index) => said(index))
    expect(states.filter((state) => state === 'owner')).toHaveLength(1)

    const owner = all[states.indexOf('owner')]!
    const first = readAnnouncement(data)!
    expect(first.pid).toBe(owner.pid)
    expect(await accepts(first.socket)).toBe(true)
    owner.signal('SIGKILL')
    await owner.exit()
    const heir = await waitFor(() => all.find((each) => each !== owner && each.lines.some((line) => line.includes('"type":"owner"'))), {
      what: 'a standby to take over',
    })
    const { socket } = await ownership(heir)
    expect(readAnnouncement(data)).toMatchObject({ socket, pid: heir.pid })
    expect(await accepts(socket)).toBe(true)
    expect(existsSync(first.socket)).toBe(false)
  })

  test('files are 0600, folders 0700, the socket path is short, and a stop leaves neither socket nor log', async () => {
    const data = join(tempDir('modes'), 'data')
    const broker = await startHere({ data, listen: '127.0.0.1:0' })
    expect(broker.state).toBe('owner')
    const { socket } = broker.address!
    expect(JSON.parse(readFileSync(join(data, 'broker.json'), 'utf8'))).toMatchObject({ socket, pid: process.pid })
    expect(mode(data)).toBe('700')
    expect(mode(join(socket, '..'))).toBe('700')
    for (const file of ['broker.db', 'broker.db-wal', 'broker.db-shm', 'broker.json', 'owner.lock'])
      expect([file, mode(join(data, file))]).toEqual([file, '600'])
    expect(Buffer.byteLength(socket)).toBeLessThanOrEqual(107)

    const standby = await startHere({ data })
    expect(standby.state).toBe('standby')
    await broker.stop()
    await broker.stop()
    await broker.closed
    await waitFor(() => standby.state === 'owner', { what: 'the standby of the same process to take over' })
    await standby.stop()
    expect(existsSync(socket)).toBe(false)
    for (const file of ['broker.json', 'broker.db-wal', 'broker.db-shm'])
      expect([file, existsSync(join(data, file))]).toEqual([file, false])
  })

  test('a stop says goodbye with 320 and keeps everything', async () => {
    const data = tempDir('stop')
    const broker = await startBroker({ data, listen: '127.0.0.1:0' })
    await using _ = broker.process
    const connection = await amqp.connect(broker.url)
    const goodbye = new Promise<Error>((resolve) => connection.on('error', resolve))
    const closed = new Promise((resolve) => connection.on('close', resolve))
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue('q')
    channel.sendToQueue('q', Buffer.from('x'), {}, () => {})
    await channel.waitForConfirms()
    broker.process.signal('SIGTERM')
    expect(await broker.process.exit()).toEqual({ code: 0, signal: null })
    // amqplib tells a 320 only by closing.
    await Promise.race([goodbye, closed])

    const again = await startBroker({ data, listen: '127.0.0.1:0' })
    await using __ = again.process
    const next = await amqp.connect(again.url)
    const got = await (await next.createChannel()).get('q', { noAck: true })
    expect(got && [got.content.toString(), got.fields.redelivered]).toEqual(['x', false])
    await next.close()
  })

  test('it ends by itself when the last client has left, if asked to', async () => {
    const broker = await startBroker({ data: tempDir('idle'), listen: '127.0.0.1:0', untilIdle: true })
    await using _ = broker.process
    await (await amqp.connect(broker.url)).close()
    expect(await broker.process.exit()).toEqual({ code: 0, signal: null })
  })
})

describe('what cannot be used', () => {
  test('a folder that is a file, and an address in use, are told', async () => {
    const file = join(tempDir('bad'), 'file')
    writeFileSync(file, '')
    const broker = spawnBroker({ data: file })
    await using _ = broker
    expect((await broker.exit()).code).toBe(78)
    expect(broker.lines.join('\n')).toContain(file)

    const first = await startHere({ data: tempDir('one'), listen: '127.0.0.1:0' })
    const data = tempDir('two')
    await expect(startHere({ data, listen: first.address!.listen! })).rejects.toThrow('EADDRINUSE')
    // And the folder is free again.
    const second = await startHere({ data })
    expect(second.state).toBe('owner')
    await Promise.all([first.stop(), second.stop()])
  })

  test('a listen address that is none', async () => {
    await expect(startHere({ data: tempDir('bad'), listen: 'nonsense' })).rejects.toThrow('expected host:port')
  })
})
