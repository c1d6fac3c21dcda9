import { execFileSync } from 'node:child_process'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { broadcast, type Bus, type Connection, connect, consume, createBus, type Delivery, exponential, type Message, on } from 'omnibus'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  type Ready,
  records,
  transcode,
  type Uploaded,
  VideoFailed,
  VideoProgressed,
  VideoReady,
  VideoUploaded,
} from '../../examples/video/contracts.ts'
import { findTools } from '../../examples/video/ffmpeg.ts'
import { ownMark } from '../../examples/video/leftovers.ts'
import { createProcessing } from '../../examples/video/processing.ts'
import { openStorage, type Storage } from '../../examples/video/storage.ts'
import { newId } from '../../examples/video/web/uploads.ts'
import { DiskFull, openWorkFolders, TooMuchWork } from '../../examples/video/work-folder.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { makeClip, makeText } from './clips.ts'

const retry = exponential({ attempts: 3, minMs: 20 })
const PLENTY = Number.MAX_SAFE_INTEGER

let root: string
let storage: Storage
let bus: Bus
let connection: Connection
let events: Message<{ id: string; progress?: number; reason?: string }>[]

beforeEach(async () => {
  root = tempDir('component')
  storage = await openStorage(pathToFileURL(join(root, 'storage')).href)
  const url = `memory:${newId(0)}`
  bus = createBus({ url, declares: [transcode, records] })
  connection = connect(url)
  events = []
  const note = (message: Message<{ id: string }>): void => void events.push(message)
  await bus.consume(broadcast(on(VideoProgressed, note), on(VideoReady, note), on(VideoFailed, note)))
})
afterEach(async () => {
  await bus.close({ deadlineMs: 2_000 })
  await connection.close({ deadlineMs: 100 })
})

async function startComponent(temp = join(root, 'temp'), maxTempBytes = PLENTY): Promise<void> {
  const process = createProcessing({
    storage,
    tools: await findTools(),
    workFolders: await openWorkFolders(temp, maxTempBytes),
    attempts: retry.attempts,
  })
  await bus.consume(consume(transcode, { retry }, on(VideoUploaded, process)))
}

async function upload(file: string): Promise<Uploaded> {
  const id = newId(Date.now())
  const path = `videos/${id}/files/original`
  const bytes = await readFile(file)
  await storage.write(path, bytes, { contentType: 'application/octet-stream' })
  return announce({ id, path, name: 'film.mp4', bytes: bytes.length, uploadedAt: new Date().toISOString() })
}

async function announce(data: Uploaded): Promise<Uploaded> {
  await bus.publish(VideoUploaded, data, { id: `${data.id}:uploaded` })
  return data
}

function outcome(id: string, { nth = 1, deadlineMs = 40_000 } = {}): Promise<Message<{ id: string; reason?: string }>> {
  const last = (): Message<{ id: string }> | undefined =>
    events.filter(({ type, data }) => data.id === id && !type.includes('progressed'))[nth - 1]
  return waitFor(last, { what: `an outcome of ${id}`, deadlineMs })
}

function deadLetter(): Promise<Delivery> {
  return waitFor(() => connection.get('video.transcode.dlq'), { what: 'a dead letter' })
}

test('a video becomes ready, with all it is to have, and nothing is left behind', async () => {
  await startComponent()
  const { id } = await upload(await makeClip(join(root, 'clip.mp4'), { seconds: 4, size: '1280x720' }))
  const ready = await outcome(id)
  expect(ready).toMatchObject({ type: 'video.ready.v1', id: `${id}:ready`, data: { width: 854, height: 480 } })
  const { outputs } = ready.data as unknown as Ready
  expect(outputs.map(({ kind }) => kind)).toEqual(['video', 'poster', 'contact-sheet', 'metadata'])
  for (const { path, bytes } of outputs) expect(await storage.stat(path)).toMatchObject({ bytes })
  expect(JSON.parse((await storage.read(`videos/${id}/files/metadata.json`)) ?? '')).toMatchObject({
    id,
    name: 'film.mp4',
    source: { video: { codec: 'h264', width: 1280 } },
  })

  const shares = events.filter(({ type }) => type === 'video.progressed.v1').map(({ data }) => data.progress ?? -1)
  expect(shares[0]).toBe(0)
  expect(shares.length).toBeGreaterThan(1)
  expect(shares).toEqual(shares.toSorted((a, b) => a - b))
  expect(await readdir(join(root, 'temp'))).toEqual([])
})

test('a text that calls itself a video fails with a reason, lies with the dead letters, and stops nobody else', async () => {
  await startComponent()
  const text = await upload(await makeText(join(root, 'text.mp4')))
  const film = await upload(await makeClip(join(root, 'clip.mp4'), { seconds: 1 }))
  const failed = await outcome(text.id)
  expect(failed).toMatchObject({ type: 'video.failed.v1', id: `${text.id}:failed`, data: { reason: expect.stringContaining('no video') } })
  expect(failed.data.reason).not.toContain(root)
  const dead = await deadLetter()
  expect(dead.payload).toMatchObject({ id: text.id })
  expect(Object.values(dead.properties.headers ?? {}).join()).toContain('no video')
  expect(await outcome(film.id)).toMatchObject({ type: 'video.ready.v1' })
  expect(await readdir(join(root, 'temp'))).toEqual([])
})

test('a message that comes again repeats the announcement, not the work', async () => {
  await startComponent()
  const data = await upload(await makeClip(join(root, 'clip.mp4'), { seconds: 1 }))
  const first = await outcome(data.id)
  const made = await storage.stat(`videos/${data.id}/files/video.mp4`)
  await announce(data)
  const second = await outcome(data.id, { nth: 2 })
  expect([second.id, second.type, second.data]).toEqual([first.id, first.type, first.data])
  expect(await storage.stat(`videos/${data.id}/files/video.mp4`)).toEqual(made)
})

test('an upload that is gone from storage fails', async () => {
  await startComponent()
  const id = newId(Date.now())
  await announce({ id, path: `videos/${id}/files/original`, name: 'gone.mp4', bytes: 5, uploadedAt: new Date().toISOString() })
  expect(await outcome(id)).toMatchObject({ type: 'video.failed.v1', data: { reason: expect.stringContaining('no longer in storage') } })
})

describe('temporary space', () => {
  test('that is not there beforehand is not used', async () => {
    const folders = await openWorkFolders(join(root, 'temp'), PLENTY)
    const work = folders.use(2 ** 52, new AbortController().signal, async () => 'worked')
    await expect(work).rejects.toBeInstanceOf(DiskFull)
    expect(await readdir(join(root, 'temp'))).toEqual([])
  })

  test('that is more than one video may have: failed at once', async () => {
    await startComponent(join(root, 'temp'), 1000)
    const { id } = await upload(await makeClip(join(root, 'clip.mp4'), { seconds: 1 }))
    const failed = await outcome(id)
    expect(failed.data.reason).toContain('temporary space')
    expect(failed.data.reason).not.toContain('tries')
  })

  test('is watched while work goes on, and given back', async () => {
    const folders = await openWorkFolders(join(root, 'temp'), 100_000)
    const work = folders.use(10, new AbortController().signal, async (folder, signal) => {
      await writeFile(join(folder, 'output'), new Uint8Array(200_000))
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    await expect(work).rejects.toBeInstanceOf(TooMuchWork)
    expect(await readdir(join(root, 'temp'))).toEqual([])
  })

  test('of processes that died is cleared at start', async () => {
    const own = await ownMark()
    const dead = own.replace(/-\d+$/, '-1')
    for (const name of [`${dead}-abc`, `${own}-def`]) await mkdir(join(root, 'temp', name), { recursive: true })
    await startComponent()
    expect(await readdir(join(root, 'temp'))).toEqual([`${own}-def`])
  })

  // A disk of its own size needs root's right to mount; elsewhere the tests above have to do.
  test.runIf(canMount()).each([
    ['beforehand', 1.5],
    ['in the middle', 2.2],
  ])(
    'that is used up %s: tried again, then failed with the reason, and given back',
    async (_, times) => {
      const args = ['-c:v', 'libx264', '-crf', '42', '-vf', 'noise=alls=60:allf=t']
      const clip = await makeClip(join(root, 'noise.mkv'), { seconds: 4, size: '854x480', rate: 25, args })
      const { size } = await stat(clip)
      const temp = join(root, 'tiny')
      await mkdir(temp)
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${Math.ceil((size * times) / 4096) * 4096}`, 'tmpfs', temp])
      try {
        await startComponent(temp)
        const { id } = await upload(clip)
        // Three conversions, with pauses between them.
        expect(await outcome(id, { deadlineMs: 100_000 })).toMatchObject({
          type: 'video.failed.v1',
          data: { reason: expect.stringMatching(/after 3 tries.*disk is full/) },
        })
        expect((await deadLetter()).payload).toMatchObject({ id })
        expect(await readdir(temp)).toEqual([])
      } finally {
        execFileSync('umount', ['-l', temp])
      }
    },
    120_000,
  )
})

function canMount(): boolean {
  const folder = tempDir('mount')
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], { stdio: 'ignore' })
    execFileSync('umount', [folder])
    return true
  } catch {
    return false
  }
}
