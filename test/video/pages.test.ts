import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openCatalog } from '../../examples/video/catalog.ts'
import { VideoProgressed } from '../../examples/video/contracts.ts'
import { newRecord } from '../../examples/video/record.ts'
import { createWeb } from '../../examples/video/web/app.ts'
import { newId } from '../../examples/video/web/uploads.ts'
import { openEvents, WebHouse } from './web-house.ts'

const UNKNOWN = newId(0)

const web = new WebHouse()

test('the list is newest first, in pages', async () => {
  const catalog = openCatalog(web.storage)
  const ids = Array.from({ length: 65 }, (_, n) => newId(1_700_000_000_000 + n * 1000))
  const uploadedAt = new Date().toISOString()
  await Promise.all(ids.map((id) => catalog.write(newRecord({ id, path: 'x', name: id, bytes: 1, uploadedAt }))))
  const first = await web.app.inject('/videos')
  expect(first.json<{ id: string }[]>().map(({ id }) => id)).toEqual(ids.toReversed().slice(0, 60))
  const next = /<(.+)>; rel="next"/.exec(String(first.headers.link))?.[1] ?? ''
  const second = await web.app.inject(next)
  expect(second.json<{ id: string }[]>().map(({ id }) => id)).toEqual(ids.toReversed().slice(60))
  expect(second.headers.link).toBeUndefined()
  expect((await web.app.inject('/videos?before=nonsense')).statusCode).toBe(400)
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
    const answer = await web.app.inject(url)
    expect([400, 404]).toContain(answer.statusCode)
    expect(answer.json()).toMatchObject({ error: expect.any(String), message: expect.any(String) })
  })
})

describe('the page', () => {
  test('comes with its parts, and runs nothing that is not one of them', async () => {
    const page = await web.app.inject('/')
    expect(page.headers['content-type']).toMatch('text/html')
    const policy = String(page.headers['content-security-policy'])
    expect(policy).toContain("default-src 'none'")
    expect(policy).not.toMatch(/unsafe|https?:|\*/)
    const parts = [...page.body.matchAll(/(?:src|href)="([\w.-]+)"/g)].map((match) => match[1])
    expect(parts).toContain('main.js')
    for (const part of parts) expect((await web.app.inject(`/${part}`)).statusCode).toBe(200)
    expect(page.body).not.toMatch(/<script(?![^>]*src=)|\son\w+=|style="/)
  })

  test('has a sample made, which is taken like any upload', async () => {
    const roomy = await createWeb({ bus: web.bus, storage: web.storage, settings: web.settings({ MAX_UPLOAD_BYTES: '100000000' }) })
    const answer = await roomy.inject({ method: 'POST', url: '/samples' })
    expect(answer.statusCode).toBe(202)
    const { id } = answer.json<{ id: string }>()
    expect((await roomy.inject(`/videos/${id}`)).json()).toMatchObject({ state: 'queued', name: expect.stringMatching(/^sample/) })
    expect((await web.storage.stat(`videos/${id}/files/original`))?.bytes).toBeGreaterThan(100_000)
    expect(await readdir(join(web.root, 'temp'))).toEqual([])
    await roomy.close()
  })
})

describe('the live feed', () => {
  test('tells what passes on the bus, and ends when the app closes', async () => {
    const events = await openEvents(web.app)
    const told = new Promise<string>((resolve) => events.onText((text) => text.includes('video.progressed.v1') && resolve(text)))
    const id = newId(Date.now())
    // The subscription may still be on its way: what is told is what is published from then on.
    const repeat = setInterval(() => void web.bus.publish(VideoProgressed, { id, progress: 0.5, stage: 'transcoding' }), 100)
    const text = await told.finally(() => clearInterval(repeat))
    const data = /^data: (.+)$/m.exec(text.slice(text.indexOf('event: video.progressed.v1')))?.[1] ?? ''
    expect(JSON.parse(data)).toMatchObject({ type: 'video.progressed.v1', data: { id, progress: 0.5, stage: 'transcoding' } })
    await Promise.all([events.ended, web.app.close()])
  })
})
