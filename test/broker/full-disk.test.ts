/** A disk that is really full: a file system of two megabytes in a namespace of the broker's own. */
import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import amqp from 'amqplib'
import { describe, expect, test } from 'vitest'
import { run } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { ownership, SCRIPT } from './processes.ts'

const canMount = (() => {
  try {
    execFileSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', '/mnt'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()
if (!canMount) process.stderr.write('NOT TESTED: a full disk, since this system lets nobody mount a small one (unshare -rm)\n')

const SIZE = 3 * 1024 * 1024

async function brokerOnSmallDisk(minFreeBytes: number) {
  const data = tempDir('full')
  const options = JSON.stringify({ data, listen: '127.0.0.1:0', minFreeBytes })
  const mountAndRun = `mount -t tmpfs -o size=${SIZE},mode=0700 tmpfs "$1" && exec "$2" "$3" "$4"`
  const broker = run('unshare', ['-rm', 'sh', '-c', mountAndRun, 'sh', data, process.execPath, SCRIPT, options], { label: 'full-disk' })
  const { url } = await ownership(broker)
  const connection = await amqp.connect(url)
  connection.on('error', () => {})
  const channel = await connection.createConfirmChannel()
  channel.on('error', () => {})
  await channel.assertQueue('q')
  const kept: number[] = []
  let next = 0
  return {
    broker,
    channel,
    kept,
    /** Its folder as the broker sees it. */
    data: join(`/proc/${broker.pid}/root`, data),
    /** Resolves with whether it was taken. */
    publish(): Promise<boolean> {
      const n = next++
      return new Promise((resolve) => {
        channel.sendToQueue('q', Buffer.from(`${n} ${'x'.repeat(20_000)}`), {}, (error) => {
          if (!error) kept.push(n)
          resolve(!error)
        })
      })
    },
    async takeAll(): Promise<number[]> {
      const got: number[] = []
      for (let message = await channel.get('q'); message; message = await channel.get('q')) {
        got.push(Number(message.content.toString().split(' ')[0]))
        channel.ack(message)
      }
      return got
    },
    async [Symbol.asyncDispose]() {
      await broker[Symbol.asyncDispose]()
    },
  }
}

describe.runIf(canMount)('a full disk', () => {
  test('refuses what has no room, loses nothing, and goes on when there is room again', async () => {
    await using disk = await brokerOnSmallDisk(0)
    const filler = join(disk.data, 'filler')
    writeFileSync(filler, Buffer.alloc(SIZE / 2))
    for (let n = 0; (await disk.publish()) && n < 1000; n++);
    await disk.broker.line('"type":"store-full"')
    expect((await disk.channel.checkQueue('q')).messageCount).toBe(disk.kept.length)
    rmSync(filler)
    await waitFor(() => disk.publish(), { what: 'a publish to be taken again' })
    expect(await disk.takeAll()).toEqual(disk.kept)
    disk.broker.signal('SIGTERM')
    expect(await disk.broker.exit()).toEqual({ code: 0, signal: null })
  })

  test('is refused in time, so that taking the messages away makes the room', async () => {
    await using disk = await brokerOnSmallDisk(1_200_000)
    for (let n = 0; (await disk.publish()) && n < 1000; n++);
    await disk.broker.line('"type":"disk-low"')
    expect(disk.kept.length).toBeGreaterThan(10)
    expect(await disk.takeAll()).toEqual(disk.kept)
    await waitFor(() => disk.publish(), { what: 'a publish to be taken again' })
    expect(disk.broker.lines.filter((line) => line.includes('store-full'))).toEqual([])
    expect((await disk.channel.checkQueue('q')).messageCount).toBe(1)
  })
})
