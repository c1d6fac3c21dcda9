/** The main job as users run it: `omnibus serve` with the example's config, on the built-in broker, on RabbitMQ, Redis and SQS. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { broadcast, type Bus, connect, createBus, on } from 'omnibus'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { records, transcode, VideoReady } from '../../examples/video/contracts.ts'
import { tempDir } from '../support/run-folder.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { hasRedis, sharedRedis } from '../support/shared-redis.ts'
import { sharedSqs } from '../support/shared-sqs.ts'
import { waitFor } from '../support/wait.ts'
import { makeClip, makeText } from './clips.ts'
import { type House, openHouse } from './house.ts'

const clips = tempDir('clips')
let film: string
let mediumFilm: string
let longFilm: string

beforeAll(async () => {
  film = await makeClip(join(clips, 'film.mp4'), { seconds: 3, size: '1280x720' })
  mediumFilm = await makeClip(join(clips, 'medium.mp4'), { seconds: 15, size: '320x180', rate: 25 })
  longFilm = await makeClip(join(clips, 'long.mp4'), { seconds: 50, size: '320x180', rate: 25 })
})

/** Of brokers that are there already. */
const urls: Readonly<Record<string, { readonly available: boolean; readonly url: () => Promise<string> }>> = {
  RabbitMQ: { available: hasRabbit(), url: sharedRabbit },
  // What a killed process held comes again with the end of its lease.
  Redis: { available: hasRedis(), url: async () => `${await sharedRedis()}?global_keyprefix=video.&lease_seconds=5` },
  SQS: { available: true, url: async () => `${await sharedSqs()}&lease_seconds=5` },
}

describe.each(['the built-in broker', ...Object.keys(urls)])('on %s', { timeout: 150_000 }, (where) => {
  const given = urls[where]
  describe.runIf(given?.available ?? true)('the video example', () => {
    let busUrl: string | undefined
    let house: House
    let bus: Bus
    let readies: string[]

    beforeAll(async () => {
      if (!given) return
      busUrl = await given.url()
      await clear(busUrl)
    })
    beforeEach(async () => {
      house = await openHouse({ busUrl })
      readies = []
      bus = createBus({ url: busUrl ?? `omnibus://${house.folder}/data?spawn=false`, onEvent: () => {} })
      await bus.consume(broadcast(on(VideoReady, ({ id }) => void readies.push(id))))
    })
    afterEach(async () => {
      await bus.close({ deadlineMs: 1_000 })
      await house[Symbol.asyncDispose]()
    })
    afterAll(async () => {
      if (busUrl !== undefined) await clear(busUrl)
    })

    test('takes a film, makes of it what it should, and knows it after a restart', async () => {
      const heard = await listen(house.address)
      const id = await house.upload(film)
      expect(await house.get(id)).toMatchObject({ name: 'film.mp4' })
      const ready = await house.reaches(id, 'ready')
      expect(ready).toMatchObject({ progress: 1, width: 854, height: 480 })
      expect(ready.outputs.map(({ kind }) => kind).toSorted()).toEqual(['contact-sheet', 'metadata', 'poster', 'video'])
      for (const { path, contentType, bytes } of ready.outputs) {
        const answer = await fetch(new URL(path, house.address))
        expect([answer.status, answer.headers.get('content-type')?.split(';')[0]]).toEqual([200, contentType])
        expect((await answer.arrayBuffer()).byteLength).toBe(bytes)
      }
      const video = new URL(`/videos/${id}/files/video.mp4`, house.address)
      const part = await fetch(video, { headers: { range: 'bytes=4-7' } })
      expect([part.status, await part.text()]).toEqual([206, 'ftyp'])
      for (const type of ['video.uploaded.v1', 'video.progressed.v1', 'video.ready.v1']) await heard(type, id)

      expect(await house.stop()).toBe(0)
      expect(house.server.processes()).toEqual([])
      await house.start()
      for (let n = 0; n < 6; n++) expect(await house.get(id)).toEqual(ready)
      expect(readies.filter((message) => message === `${id}:ready`)).toHaveLength(1)
    })

    test('fails a file that is no film, and goes on', async () => {
      const text = await house.upload(await makeText(join(clips, 'text.mp4')))
      const other = await house.upload(film)
      expect(await house.reaches(text, 'failed')).toMatchObject({ reason: expect.stringContaining('no video') })
      await house.reaches(other, 'ready')
      const dead = await onQueue(busUrl ?? `omnibus://${house.folder}/data?spawn=false`, 'video.transcode.dlq')
      expect(dead).toMatchObject({ id: text })
    })

    test('finishes on the replacement what kill -9 of the component interrupted, and is ready once', async () => {
      house.setSlow(true)
      const id = await house.upload(mediumFilm)
      const waiting = await house.upload(film)
      await house.progresses(id, 0.1)
      const killed = house.pidOf('video.1')
      house.setSlow(false)
      process.kill(killed, 'SIGKILL')
      await house.reaches(id, 'ready')
      await house.reaches(waiting, 'ready')
      expect(house.pidOf('video.1')).not.toBe(killed)
      await waitFor(() => house.ffmpegs().length === 0, { what: 'every ffmpeg to end' })
      expect(await readdir(join(house.folder, 'temp'))).toEqual([])
      expect(readies.toSorted()).toEqual([`${id}:ready`, `${waiting}:ready`].toSorted())
    })

    // The supervisor's, on whatever broker, and half a minute of waiting.
    test.runIf(!given)('stops in the middle within its budget, and goes on at the next start', async () => {
      house.setSlow(true)
      const id = await house.upload(longFilm)
      await house.progresses(id, 0.1)
      expect(await house.stop()).toBe(0)
      expect(house.server.processes()).toEqual([])
      expect(await readdir(join(house.folder, 'temp'))).toEqual([])
      house.setSlow(false)
      await house.start()
      await house.reaches(id, 'ready')
    })

    test.runIf(!given)('loses nothing when the broker is killed: everything finds the next one', async () => {
      house.setSlow(true)
      const id = await house.upload(mediumFilm)
      const waiting = await house.upload(film)
      await house.progresses(id, 0.1)
      house.setSlow(false)
      process.kill(house.pidOf('broker'), 'SIGKILL')
      const after = await waitFor(() => house.upload(film), { what: 'an upload to be taken again', deadlineMs: 30_000 })
      await Promise.all([id, waiting, after].map((each) => house.reaches(each, 'ready', 120_000)))
    })

    test('leaves no process a second after kill -9 of its master', async () => {
      house.setSlow(true)
      const id = await house.upload(longFilm)
      await house.progresses(id, 0.05)
      expect(house.ffmpegs().length).toBeGreaterThan(0)
      house.server.signal('SIGKILL')
      await house.server.exit()
      await waitFor(() => house.server.processes().length === 0, { what: 'every process to end', deadlineMs: 5_000 })
    })
  })
})

/** Reads the live feed; resolves with a function that waits for an event of one video. */
async function listen(address: string): Promise<(type: string, id: string) => Promise<unknown>> {
  const response = await fetch(`${address}/events`)
  let text = ''
  const read = async (): Promise<void> => {
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString()
  }
  read().catch(() => undefined)
  return (type, id) =>
    waitFor(() => text.split('\n\n').some((each) => each.includes(`event: ${type}`) && each.includes(id)), {
      what: `${type} on the live feed`,
    })
}

async function onQueue(url: string, name: string): Promise<unknown> {
  const connection = connect(url)
  try {
    const delivery = await waitFor(() => connection.get(name), { what: `a message in ${name}` })
    await delivery.ack()
    return delivery.payload
  } finally {
    await connection.close({ deadlineMs: 1_000 })
  }
}

/** The example's queues have fixed names, and this broker is shared. */
async function clear(url: string): Promise<void> {
  const connection = connect(url)
  for (const name of [transcode.name, records.name].flatMap((each) => [each, `${each}.dlq`]))
    await connection.delete(name).catch(() => undefined)
  await connection.close({ deadlineMs: 1_000 })
}
