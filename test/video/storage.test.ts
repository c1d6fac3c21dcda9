import { randomBytes } from 'node:crypto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import { type FauxqsServer, startFauxqs } from 'fauxqs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ownMark } from '../../examples/video/leftovers.ts'
import { openStorage, type Storage } from '../../examples/video/storage.ts'
import { tempDir } from '../support/run-folder.ts'

const folder = tempDir('video')
let s3: FauxqsServer

beforeAll(async () => {
  process.env['AWS_ACCESS_KEY_ID'] = 'test'
  process.env['AWS_SECRET_ACCESS_KEY'] = 'test'
  s3 = await startFauxqs({ port: 0, logger: false })
  s3.createBucket('videos')
})
afterAll(async () => {
  await s3.stop()
  await rm(folder, { recursive: true })
})

describe.each([
  ['a folder', () => openStorage(pathToFileURL(folder).href)],
  ['S3', () => openStorage(`s3://videos?endpoint=http://127.0.0.1:${s3.port}&region=us-east-1`)],
])('%s', (_, open) => {
  let storage: Storage
  beforeAll(async () => void (storage = await open()))

  test('gives back what was written, and replaces it', async () => {
    await storage.write('a/one.json', '{"n":1}', { contentType: 'application/json' })
    await storage.write('a/one.json', '{"n":2}', { contentType: 'application/json' })
    expect(await storage.read('a/one.json')).toBe('{"n":2}')
    expect(await storage.stat('a/one.json')).toMatchObject({ bytes: 7, modified: expect.any(Date), etag: expect.any(String) })
  })

  test('takes a stream whose length nobody knows, longer than two parts', async () => {
    const chunks = Array.from({ length: 37 }, () => randomBytes(2 ** 20 + 1))
    await storage.write('big/original', Readable.from(chunks), { contentType: 'video/mp4' })
    expect(await storage.stat('big/original')).toMatchObject({ bytes: 37 * (2 ** 20 + 1) })
    expect((await buffer(await storage.open('big/original'))).equals(Buffer.concat(chunks))).toBe(true)
  })

  test('opens a part, with both ends counted', async () => {
    await storage.write('part', '0123456789', { contentType: 'text/plain' })
    expect(await text(await storage.open('part', { start: 2, end: 5 }))).toBe('2345')
    expect(await text(await storage.open('part', { start: 9, end: 9 }))).toBe('9')
    expect(await text(await storage.open('part'))).toBe('0123456789')
  })

  test('knows what is not there', async () => {
    expect(await storage.read('none')).toBeUndefined()
    expect(await storage.stat('none')).toBeUndefined()
    await expect(storage.open('none').then(text)).rejects.toThrow()
    await storage.remove('none')
    expect(await storage.list('nothing-here')).toEqual([])
  })

  test('lists one folder, and removes one file or a whole folder', async () => {
    for (const key of ['list/a', 'list/b', 'list/deep/c', 'list-other/d']) await storage.write(key, key, { contentType: 'text/plain' })
    expect((await storage.list('list')).toSorted()).toEqual(['list/a', 'list/b'])
    await storage.remove('list/a')
    expect(await storage.list('list')).toEqual(['list/b'])
    await storage.removeFolder('list')
    expect(await storage.list('list')).toEqual([])
    expect(await storage.read('list/deep/c')).toBeUndefined()
    expect(await storage.read('list-other/d')).toBe('list-other/d')
  })

  test('keeps nothing of a stream that broke, and what was there stays', async () => {
    await storage.write('broken', 'before', { contentType: 'text/plain' })
    const breaking = Readable.from(
      (async function* () {
        yield randomBytes(17 * 2 ** 20)
        throw new Error('the client went away')
      })(),
    )
    await expect(storage.write('broken', breaking, { contentType: 'text/plain' })).rejects.toThrow()
    expect(await storage.read('broken')).toBe('before')
    expect(await readdir(join(folder, '.partial'))).toEqual([])
  })

  test('gives up when told to', async () => {
    const never = new Readable({ read() {} })
    never.push('x')
    await expect(storage.write('aborted', never, { contentType: 'text/plain', signal: AbortSignal.timeout(50) })).rejects.toThrow()
    expect(await storage.stat('aborted')).toBeUndefined()
  })

  test.each(['../outside', 'a/../../outside', '..'])('refuses the key %s', async (key) => {
    await expect(storage.write(key, 'x', { contentType: 'text/plain' })).rejects.toThrow()
    expect(
      await Promise.resolve()
        .then(() => storage.read(key))
        .catch(() => undefined),
    ).toBeUndefined()
  })
})

test('a folder is cleared of what dead processes left, and of nothing else', async () => {
  const root = tempDir('video')
  const partial = join(root, '.partial')
  await mkdir(partial)
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  const own = await ownMark()
  const [host, , start] = own.split('-')
  const living = `${own}-living`
  const reusedPid = `${host}-${process.pid}-${Number(start) - 1}-reused`
  const elsewhere = `another.host-1-1-elsewhere`
  child.kill('SIGKILL')
  await once(child, 'exit')
  const dead = `${host}-${child.pid}-1-dead`
  for (const name of [living, reusedPid, elsewhere, dead, 'unrelated']) await writeFile(join(partial, name), 'x')
  await openStorage(pathToFileURL(root).href)
  expect((await readdir(partial)).toSorted()).toEqual([elsewhere, living, 'unrelated'].toSorted())
  await rm(root, { recursive: true })
})
