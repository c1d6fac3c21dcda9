import type { FastifyInstance } from 'fastify'
import { type FauxqsServer, startFauxqs } from 'fauxqs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openStorage } from '../../examples/video/storage.ts'
import { createWeb } from '../../examples/video/web/app.ts'
import { readRange } from '../../examples/video/web/files.ts'
import { newId } from '../../examples/video/web/uploads.ts'
import { WebHouse } from './web-house.ts'

const web = new WebHouse()

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
    const files = s3 ? await openStorage(`${url}${s3.port}`) : web.storage
    await files.write(path.slice(1), bytes, { contentType: 'video/mp4' })
    await files.write(`videos/${id}/files/original`, '<script>', { contentType: 'text/html' })
    serving = await createWeb({ bus: web.bus, storage: files, settings: web.settings() })
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
