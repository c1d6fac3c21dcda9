import { once } from 'node:events'
import { openAsBlob } from 'node:fs'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { createBus } from 'omnibus'
import { describe, expect, test } from 'vitest'
import { openCatalog } from '../../examples/video/catalog.ts'
import { newRecord } from '../../examples/video/record.ts'
import { createWeb } from '../../examples/video/web/app.ts'
import { newId } from '../../examples/video/web/uploads.ts'
import { makeClip } from './clips.ts'
import { LIMIT, openEvents, WebHouse } from './web-house.ts'

const web = new WebHouse()

function form(name: string, content: Uint8Array<ArrayBuffer> | string, filename = 'film.mp4'): { body: FormData } {
  const body = new FormData()
  body.append(name, new Blob([content]), filename)
  return { body }
}

describe('an upload', () => {
  test('is kept and announced, and seen at once, before anything else has run', async () => {
    const answer = await web.post(form('file', 'a film', '../../C:\\films\\my <b>film.mp4'))
    expect(answer.statusCode).toBe(202)
    const { id } = answer.json<{ id: string }>()
    expect(answer.headers.location).toBe(`/videos/${id}`)
    expect((await web.app.inject(`/videos/${id}`)).json()).toMatchObject({
      id,
      state: 'queued',
      progress: 0,
      name: 'my <b>film.mp4',
      bytes: 6,
      outputs: [],
    })
    expect(await web.storage.read(`videos/${id}/files/original`)).toBe('a film')
    const list = (await web.app.inject('/videos')).json<{ id: string }[]>()
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
    const answer = await web.app.inject({ method: 'POST', url: '/videos', ...request() })
    expect([answer.statusCode, answer.json<{ error: string }>().error]).toEqual([status, error])
    expect(await web.stored()).toEqual([])
  })

  test.each([
    ['in another field', () => form('video', 'a film'), 400, 'wrong_field'],
    ['that is empty', () => form('file', ''), 400, 'empty_file'],
    ['one byte too large', () => form('file', 'x'.repeat(LIMIT + 1)), 413, 'too_large'],
    ['much too large', () => form('file', new Uint8Array(LIMIT * 5)), 413, 'too_large'],
  ])('%s is refused, and nothing of it is kept', async (_, payload, status, error) => {
    const answer = await web.post(payload())
    expect([answer.statusCode, answer.json<{ error: string }>().error]).toEqual([status, error])
    expect(await web.stored()).toEqual([])
    expect((await web.app.inject('/videos')).json()).toEqual([])
  })

  test('as large as allowed is taken', async () => {
    expect((await web.post(form('file', 'x'.repeat(LIMIT)))).statusCode).toBe(202)
  })

  test('whose text field stands in for the file is refused', async () => {
    const body = new FormData()
    body.append('file', 'no file, but a text')
    expect((await web.post({ body })).json()).toMatchObject({ error: 'no_file' })
  })

  test('from the page of another site is refused', async () => {
    const answer = await web.app.inject({ method: 'POST', url: '/samples', headers: { origin: 'http://evil.example', host: 'localhost' } })
    expect([answer.statusCode, answer.json<{ error: string }>().error]).toEqual([403, 'other_site'])
  })

  test('that cannot be announced is answered with 503 by the deadline, and not kept', async () => {
    const unreachable = createBus({ url: 'amqp://127.0.0.1:1', onEvent: () => {} })
    const lonely = await createWeb({ bus: unreachable, storage: web.storage, settings: web.settings(), publishDeadlineMs: 300 })
    const answer = await web.post(form('file', 'a film'), lonely)
    expect([answer.statusCode, answer.json<{ error: string }>().error]).toEqual([503, 'bus_unreachable'])
    expect(answer.headers['retry-after']).toBe('5')
    expect(await web.stored()).toEqual([])
    const ready = await lonely.inject('/readyz')
    expect([ready.statusCode, ready.json()]).toEqual([503, { bus: 'disconnected', storage: 'reachable' }])
    await lonely.close()
    await unreachable.close({ deadlineMs: 100 })
  })

  test('is dropped when the client leaves in the middle', async () => {
    await web.app.listen({ port: 0, host: '127.0.0.1' })
    const socket = connect((web.app.server.address() as AddressInfo).port, '127.0.0.1')
    const head = '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    socket.write(
      `POST /videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 150000\r\n\r\n${head}${'x'.repeat(1000)}`,
    )
    await expect.poll(web.stored).toHaveLength(1)
    socket.destroy()
    await expect.poll(web.stored).toEqual([])
  })

  test('whose process died before it was announced is announced later', async () => {
    const id = newId(Date.now() - 600_000)
    const uploadedAt = new Date(Date.now() - 600_000).toISOString()
    await openCatalog(web.storage).write(newRecord({ id, path: `videos/${id}/files/original`, name: 'left.mp4', bytes: 6, uploadedAt }))
    const another = await createWeb({ bus: web.bus, storage: web.storage, settings: web.settings() })
    const seen = await new Promise<string>((resolve) => {
      void openEvents(another).then((events) => events.onText((text) => text.includes('video.uploaded.v1') && resolve(text)))
    })
    expect(seen).toContain(`"id":"${id}:uploaded"`)
    await another.close()
  })
})

test('an upload of a real file over a real connection', async () => {
  const clip = await makeClip(join(web.root, 'clip.mp4'), { seconds: 1, size: '160x120' })
  await web.app.listen({ port: 0, host: '127.0.0.1' })
  const body = new FormData()
  body.append('file', await openAsBlob(clip), 'clip.mp4')
  const port = (web.app.server.address() as AddressInfo).port
  const answer = await fetch(`http://127.0.0.1:${port}/videos`, { method: 'POST', body })
  expect(answer.status).toBe(202)
  // A refusal in the middle still reaches who is sending.
  const tooMuch = new FormData()
  tooMuch.append('file', new Blob([new Uint8Array(30_000_000)]), 'large.mp4')
  const refusal = await fetch(`http://127.0.0.1:${port}/videos`, { method: 'POST', body: tooMuch })
  expect(refusal.status).toBe(413)
  await once(web.app.server.close(), 'close').catch(() => undefined)
})
