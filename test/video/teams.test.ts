/** Two teams: the web app under `omnibus serve` here, the video component under `omnibus work` there, on RabbitMQ and S3. */
import { cpSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type FauxqsServer, startFauxqs } from 'fauxqs'
import { connect } from 'omnibus'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { omnibus, root, userFolder } from '../support/omnibus.ts'
import type { Running } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { hasOwnRabbit, type RabbitServer, startRabbit } from '../support/rabbitmq.ts'
import { makeClip } from './clips.ts'
import { type House, install, openHouse } from './house.ts'

const example = join(root, 'examples', 'video')
const COMMON = ['contracts.ts', 'storage', 'storage.ts', 'settings.ts', 'leftovers.ts', 'ffmpeg.ts', 'work-folder.ts']
const VIDEO = ['video.ts', 'video.config.ts', 'processing.ts', 'transcode.ts']
const WEB = ['web.ts', 'web', 'page', 'record.ts', 'records.ts', 'catalog.ts']
const PACKAGES = ['fastify', '@fastify/multipart', '@fastify/static', 'flydrive', '@aws-sdk/client-s3', '@ffmpeg-installer/ffmpeg']

describe.runIf(hasOwnRabbit())('two teams that share contracts alone', { timeout: 150_000 }, () => {
  let rabbit: RabbitServer
  let s3: FauxqsServer
  let env: Record<string, string>
  let house: House
  let component: Running | undefined
  let videoFolder: string

  beforeAll(async () => {
    rabbit = await startRabbit()
    s3 = await startFauxqs({ port: 0, logger: false })
    s3.createBucket('films')
    env = {
      BUS_URL: rabbit.url,
      STORAGE_URL: `s3://films?region=us-east-1&endpoint=http://127.0.0.1:${s3.port}`,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
    }
    // Each with a copy of its own: nothing of the one can be reached from the other.
    const webFolder = folderWith('web-team', [...COMMON, ...WEB])
    writeFileSync(join(webFolder, 'omnibus.config.ts'), WEB_CONFIG)
    videoFolder = folderWith('video-team', [...COMMON, ...VIDEO])
    house = await openHouse({ busUrl: rabbit.url, storageUrl: env['STORAGE_URL'] ?? '', config: join(webFolder, 'omnibus.config.ts'), env })
  })
  afterAll(async () => {
    await component?.[Symbol.asyncDispose]()
    await house?.[Symbol.asyncDispose]()
    await s3?.stop()
    await rabbit?.[Symbol.asyncDispose]()
  })

  const startComponent = async (): Promise<Running> => {
    component = omnibus(['work', 'video.config.ts'], { cwd: videoFolder, env: { ...env, VIDEO_TEMP: join(videoFolder, 'temp') } })
    await component.line('video.1 is ready')
    return component
  }

  test('an upload is taken before the video component has ever run, and done when it comes', async () => {
    const film = await makeClip(join(tempDir('clips'), 'film.mp4'), { seconds: 2, size: '1280x720' })
    const id = await house.upload(film)
    expect(await house.get(id)).toMatchObject({ state: 'queued' })
    const running = await startComponent()
    const ready = await house.reaches(id, 'ready')
    const video = ready.outputs.find(({ kind }) => kind === 'video')
    const part = await fetch(new URL(video?.path ?? '', house.address), { headers: { range: 'bytes=4-7' } })
    expect([part.status, await part.text()]).toEqual([206, 'ftyp'])
    expect(readdirSync(join(videoFolder, 'temp'))).toEqual([])

    running.signal('SIGTERM')
    expect((await running.exit()).code).toBe(0)
    const connection = connect(rabbit.url)
    expect(await connection.inspect('video.transcode')).toMatchObject({ messages: 0, consumers: 0 })
    await connection.close()
  })

  test('the web app stays up while the component comes and goes', async () => {
    const film = await makeClip(join(tempDir('clips'), 'film.mp4'), { seconds: 1 })
    const id = await house.upload(film)
    await startComponent()
    await house.reaches(id, 'ready')
  })
})

const WEB_CONFIG = `import { defineConfig } from 'omnibus'
export default defineConfig({
  bus: { url: process.env['BUS_URL'] },
  web: { entry: './web.ts', workers: 2, bind: \`127.0.0.1:\${process.env['PORT']}\` },
  consumers: { records: { entry: './records.ts' } },
})
`

function folderWith(label: string, parts: readonly string[]): string {
  const folder = userFolder(label)
  install(folder, PACKAGES)
  for (const part of parts) cpSync(join(example, part), join(folder, part), { recursive: true })
  return folder
}
