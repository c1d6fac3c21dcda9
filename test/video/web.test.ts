import { once } from 'node:events'
import { readdir, rm } from 'node:fs/promises'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { type FauxqsServer, startFauxqs } from 'fauxqs'
import { type Bus, createBus } from 'omnibus'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openCatalog } from '../../examples/video/catalog.ts'
import { records, transcode, VideoProgressed } from '../../examples/video/contracts.ts'
import { newRecord } from '../../examples/video/record.ts'
import { readSettings } from '../../examples/video/settings.ts'
import { openStorage, type Storage } from '../../examples/video/storage.ts'
import { createWeb } from '../../examples/video/web/app.ts'
import { readRange } from '../../examples/video/web/files.ts'
import { newId } from '../../examples/video/web/uploads.ts'
import { tempDir } from '../support/run-folder.ts'
import { makeClip } from './clips.ts'

const LIMIT = 200_000
const UNKNOWN = newId(0)

let root: string
let storage: Storage
let bus: Bus
let app: FastifyInstance

beforeEach(async () => {
  root = tempDir('video')
  storage = await openStorage(pathToFileURL(join(root, 'storage')).href)
  bus = createBus({ url: `memory:${newId(0)}`, declares: [transcode, records] })
  app = await createWeb({ bus, storage, settings: settings() })
})
afterEach(async () => {
  await app.close()
  await bus.close({ deadlineMs: 1_000 })
  await rm(root, { recursive: true })
})

function settings(more: Record<string, string> = {}) {
  return readSettings({ STORAGE_URL: 'file:///unused', MAX_UPLOAD_BYTES: String(LIMIT), VIDEO_TEMP: join(root, 'temp'), ...more })
}

function form(name: string, content: Uint8Array<ArrayBuffer> | string, filename = 'film.mp4'): { body: FormData } {
  const body = new FormData()
  body.append(name, new Blob([content]), filename)
  return { body }
}

async function post(payload: { body: FormData }, to = app) {
  const request = new Response(payload.body)
  return to.inject({
    method: 'POST',
    url: '/videos',
    headers: { 'content-type': request.headers.get('content-type') ?? '' },
    payload: Buffer.from(await request.arrayBuffer()),
  })
}

/** Every file in storage, partial ones too. */
async function stored(): Promise<string[]> {
  const entries = await readdir(join(root, 'storage'), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

describe('an upload', () => {
  test('is kept and announced, and seen at once, before anything else has run', async () => {
    const answer = await post(form('file', 'a film', '../../C:\\films\\my <b>film.mp4'))
    expect(answer.statusCode).toBe(202)
    const { id } = answer.json<{ id: string }>()
    expect(answer.headers.location).toBe(`/videos/${id}`)
    expect((await app.inject(`/videos/${id}`)).json()).toMatchObject({
      id,
      state: 'queued',
      progress: 0,
      name: 'my <b>film.mp4',
      bytes: 6,
      outputs: [],
    })
    expect(await storage.read(`videos/${id}/files/original`)).toBe('a film')
    const list = (await app.inject('/videos')).json<{ id: string }[]>()
    expect(list.map((video) => video.id)).toEqual([id])
  })

  test.each([
    ['without a body', () => ({ headers: {} }), 400, 'no_file'],
    ['that is JSON', () => ({ headers: { 'content-type': 'application/json' }, payload: '{}' }), 400, 'no_file'],
    ['without a boundary', () => ({ headers: { 'content-type': 'multipart/form-data' }, payload: 'x' }), 400, 'malformed'],
    [
      'that is cut off',
      () => ({
        headers: { 'content-type': 'multipart/form-data; boundary=x' },
        payload: '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
      }),
      400,
      'broken_upload',
    ],
  ])('%s is refused', async (_, request, status, error) => {
    const answer = await app.inject({ method: 'POST', url: '/videos', ...request() })
    expect([answer.statusCode, answer.json<{ error: string }>().error]).toEqual([status, error])
    expect(await stored()).toEqual([])
  })

  test.each([
    ['in another field', () => form('video', 'a film'), 400, 'wrong_field'],
    ['that is empty', () => form('file', ''), 400, 'empty_file'],
    ['one byte too large', () => form('file', 'x'.repeat(LIMIT + 1)), 413, 'too_large'],
    ['much too large', () => form('file', new Uint8Array(LIMIT * 5)), 413, 'too_large'],
  ])('%s is refused, and nothing of it is kept', async (_, payload, status, error) => {
    const answer = await post(payload())
    expect([answer.statusCode, answer.json<{ error: string }>().error]).toEqual([status, error])
    expect(await stored()).toEqual([])
    expect((await app.inject('/videos')).json()).toEqual([])
  })

  test('as large as allowed is taken', async () => {
    expect((await post(form('file', 'x'.repeat(LIMIT)))).statusCode).toBe(202)
  })

  test('whose text field stands in for the file is refused', async () => {
    const body = new FormData()
    body.append('file', 'no file, but a text')
    expect((await post({ body })).json()).toMatchObject({ error: 'no_file' })
  })

  test('from the page of another site is refused', async () => {
    const answer = await app.inject({ method: 'POST', url: '/samples', headers: { origin: 'http://evil.example', host: 'localhost' } })
    expect([answer.statusCode, answer.json<{ error: string }>().error]).toEqual([403, 'other_site'])
  })

  test('that cannot be announced is answered with 503 by the deadline, and not kept', async () => {
    const unreachable = createBus({ url: 'amqp://127.0.0.1:1', onEvent: () => {} })
    const lonely = await createWeb({ bus: unreachable, storage, settings: settings(), publishDeadlineMs: 300 })
    const answer = await post(form('file', 'a film'), lonely)
    expect([answer.statusCode, answer.json<{ error: string }>().error]).toEqual([503, 'bus_unreachable'])
    expect(answer.headers['retry-after']).toBe('5')
    expect(await stored()).toEqual([])
    const ready = await lonely.inject('/readyz')
    expect([ready.statusCode, ready.json()]).toEqual([503, { bus: 'disconnected', storage: 'reachable' }])
    await lonely.close()
    await unreachable.close({ deadlineMs: 100 })
  })

  test('is dropped when the client leaves in the middle', async () => {
    await app.listen({ port: 0, host: '127.0.0.1' })
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
    const head = '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    socket.write(
      `POST /videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 150000\r\n\r\n${head}${'x'.repeat(1000)}`,
    )
    await expect.poll(stored).toHaveLength(1)
    socket.destroy()
    await expect.poll(stored).toEqual([])
  })

  test('whose process died before it was announced is announced later', async () => {
    const id = newId(Date.now() - 600_000)
    const uploadedAt = new Date(Date.now() - 600_000).toISOString()
    await openCatalog(storage).write(newRecord({ id, path: `videos/${id}/files/original`, name: 'left.mp4', bytes: 6, uploadedAt }))
    const another = await createWeb({ bus, storage, settings: settings() })
    const seen = await new Promise<string>((resolve) => {
      void openEvents(another).then((events) => events.onText((text) => text.includes('video.uploaded.v1') && resolve(text)))
    })
    expect(seen).toContain(`"id":"${id}:uploaded"`)
    await another.close()
  })
})

test('the list is newest first, in pages', async () => {
  const catalog = openCatalog(storage)
  const ids = Array.from({ length: 65 }, (_, n) => newId(1_700_000_000_000 + n * 1000))
  const uploadedAt = new Date().toISOString()
  await Promise.all(ids.map((id) => catalog.write(newRecord({ id, path: 'x', name: id, bytes: 1, uploadedAt }))))
  const first = await app.inject('/videos')
  expect(first.json<{ id: string }[]>().map(({ id }) => id)).toEqual(ids.toReversed().slice(0, 60))
  const next = /<(.+)>; rel="next"/.exec(String(first.headers.link))?.[1] ?? ''
  const second = await app.inject(next)
  expect(second.json<{ id: string }[]>().map(({ id }) => id)).toEqual(ids.toReversed().slice(60))
  expect(second.headers.link).toBeUndefined()
  expect((await app.inject('/videos?before=nonsense')).statusCode).toBe(400)
})

describe('what does not exist', () => {
  test.each([
    `/videos/${UNKNOWN}`,
    '/videos/nonsense',
    '/nothing',
    `/videos/${UNKNOWN}/files/video.mp4`,
    `/videos/${UNKNOWN}/files/other.mp4`,
    '/videos/../../../etc/passwd',
    '/videos/..%2f..%2f..%2fetc%2fpasswd',
    `/videos/${UNKNOWN}/files/..%2f..%2f..%2f..%2fetc%2fpasswd`,
    `/videos/..%2f${UNKNOWN}/files/video.mp4`,
    `/videos/${UNKNOWN}/files/%00`,
    '/../omnibus.config.ts',
    '/..%2fomnibus.config.ts',
  ])('%s', async (url) => {
    const answer = await app.inject(url)
    expect([400, 404]).toContain(answer.statusCode)
    expect(answer.json()).toMatchObject({ error: expect.any(String), message: expect.any(String) })
  })
})

describe.each([
  ['a folder', undefined],
  ['S3', 's3://web?region=us-east-1&endpoint=http://127.0.0.1:'],
])('a file in %s', (_, url) => {
  const id = newId(1)
  const path = `/videos/${id}/files/video.mp4`
  const bytes = Buffer.from(Array.from({ length: 1000 }, (_, n) => n % 251))
  let s3: FauxqsServer | undefined
  let serving: FastifyInstance

  beforeAll(async () => {
    process.env['AWS_ACCESS_KEY_ID'] = 'test'
    process.env['AWS_SECRET_ACCESS_KEY'] = 'test'
    s3 = url === undefined ? undefined : await startFauxqs({ port: 0, logger: false })
    s3?.createBucket('web')
  })
  afterAll(() => s3?.stop())
  beforeEach(async () => {
    const files = s3 ? await openStorage(`${url}${s3.port}`) : storage
    await files.write(path.slice(1), bytes, { contentType: 'video/mp4' })
    await files.write(`videos/${id}/files/original`, '<script>', { contentType: 'text/html' })
    serving = await createWeb({ bus, storage: files, settings: settings() })
  })
  afterEach(() => serving.close())

  test('is sent whole, and not again when known', async () => {
    const answer = await serving.inject(path)
    expect(answer.statusCode).toBe(200)
    expect(answer.headers).toMatchObject({
      'content-type': 'video/mp4',
      'content-length': '1000',
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
    })
    expect(answer.rawPayload.equals(bytes)).toBe(true)
    const again = await serving.inject({ url: path, headers: { 'if-none-match': String(answer.headers.etag) } })
    expect(again.statusCode).toBe(304)
  })

  test.each([
    ['bytes=0-99', 0, 99],
    ['bytes=990-', 990, 999],
    ['bytes=-10', 990, 999],
    ['bytes=500-99999', 500, 999],
    ['bytes=0-0', 0, 0],
    ['bytes=-5000', 0, 999],
  ])('is sent in part: %s', async (range, start, end) => {
    const answer = await serving.inject({ url: path, headers: { range } })
    expect(answer.statusCode).toBe(206)
    expect(answer.headers).toMatchObject({ 'content-range': `bytes ${start}-${end}/1000`, 'content-length': String(end - start + 1) })
    expect(answer.rawPayload.equals(bytes.subarray(start, end + 1))).toBe(true)
  })

  test.each(['bytes=1000-', 'bytes=5000-6000', 'bytes=-0'])('has no such part: %s', async (range) => {
    const answer = await serving.inject({ url: path, headers: { range } })
    expect([answer.statusCode, answer.headers['content-range']]).toEqual([416, 'bytes */1000'])
  })

  test('is sent whole to who has a part of an older one', async () => {
    const headers = { range: 'bytes=0-9', 'if-range': '"older"' }
    expect((await serving.inject({ url: path, headers })).statusCode).toBe(200)
  })

  test('is described without being sent', async () => {
    const answer = await serving.inject({ method: 'HEAD', url: path, headers: { range: 'bytes=0-9' } })
    expect([answer.statusCode, answer.headers['content-length'], answer.rawPayload.length]).toEqual([200, '1000', 0])
  })

  test('of a stranger is handed out, never shown', async () => {
    const answer = await serving.inject(`/videos/${id}/files/original`)
    expect(answer.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename="${id}"`,
    })
  })
})

test.each(['bytes=', 'bytes=-', 'bytes=5-2', 'bytes=0-1,5-6', 'items=0-5', 'bytes=a-b', ''])('the range %j is ignored', (header) => {
  expect(readRange(header, 1000)).toBeUndefined()
})

describe('the live feed', () => {
  test('tells what passes on the bus, and ends when the app closes', async () => {
    const events = await openEvents(app)
    const told = new Promise<string>((resolve) => events.onText((text) => text.includes('video.progressed.v1') && resolve(text)))
    const id = newId(Date.now())
    // The subscription may still be on its way: what is told is what is published from then on.
    const repeat = setInterval(() => void bus.publish(VideoProgressed, { id, progress: 0.5, stage: 'transcoding' }), 100)
    const text = await told.finally(() => clearInterval(repeat))
    const data = /^data: (.+)$/m.exec(text.slice(text.indexOf('event: video.progressed.v1')))?.[1] ?? ''
    expect(JSON.parse(data)).toMatchObject({ type: 'video.progressed.v1', data: { id, progress: 0.5, stage: 'transcoding' } })
    await Promise.all([events.ended, app.close()])
  })
})

async function openEvents(from: FastifyInstance): Promise<{ onText(listener: (text: string) => void): void; ended: Promise<unknown> }> {
  if (!from.server.listening) await from.listen({ port: 0, host: '127.0.0.1' })
  const response = await fetch(`http://127.0.0.1:${(from.server.address() as AddressInfo).port}/events`)
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const listeners = new Set<(text: string) => void>()
  let all = ''
  const read = async (): Promise<void> => {
    for await (const chunk of response.body ?? []) {
      all += Buffer.from(chunk).toString()
      for (const listener of listeners) listener(all)
    }
  }
  return { onText: (listener) => void listeners.add(listener), ended: read() }
}

describe('the page', () => {
  test('comes with its parts, and runs nothing that is not one of them', async () => {
    const page = await app.inject('/')
    expect(page.headers['content-type']).toMatch('text/html')
    const policy = String(page.headers['content-security-policy'])
    expect(policy).toContain("default-src 'none'")
    expect(policy).not.toMatch(/unsafe|https?:|\*/)
    const parts = [...page.body.matchAll(/(?:src|href)="([\w.-]+)"/g)].map((match) => match[1])
    expect(parts).toContain('main.js')
    for (const part of parts) expect((await app.inject(`/${part}`)).statusCode).toBe(200)
    expect(page.body).not.toMatch(/<script(?![^>]*src=)|\son\w+=|style="/)
  })

  test('has a sample made, which is taken like any upload', async () => {
    const roomy = await createWeb({ bus, storage, settings: settings({ MAX_UPLOAD_BYTES: '100000000' }) })
    const answer = await roomy.inject({ method: 'POST', url: '/samples' })
    expect(answer.statusCode).toBe(202)
    const { id } = answer.json<{ id: string }>()
    expect((await roomy.inject(`/videos/${id}`)).json()).toMatchObject({ state: 'queued', name: expect.stringMatching(/^sample/) })
    expect((await storage.stat(`videos/${id}/files/original`))?.bytes).toBeGreaterThan(100_000)
    expect(await readdir(join(root, 'temp'))).toEqual([])
    await roomy.close()
  })
})

test('an upload of a real file over a real connection', async () => {
  const clip = await makeClip(join(root, 'clip.mp4'), { seconds: 1, size: '160x120' })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { openAsBlob } = await import('node:fs')
  const body = new FormData()
  body.append('file', await openAsBlob(clip), 'clip.mp4')
  const port = (app.server.address() as AddressInfo).port
  const answer = await fetch(`http://127.0.0.1:${port}/videos`, { method: 'POST', body })
  expect(answer.status).toBe(202)
  // A refusal in the middle still reaches who is sending.
  const tooMuch = new FormData()
  tooMuch.append('file', new Blob([new Uint8Array(30_000_000)]), 'large.mp4')
  const refusal = await fetch(`http://127.0.0.1:${port}/videos`, { method: 'POST', body: tooMuch })
  expect(refusal.status).toBe(413)
  await once(app.server.close(), 'close').catch(() => undefined)
})
