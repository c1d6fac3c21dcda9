import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { FfmpegError, findTools, probe, run, type Tools } from '../../examples/video/ffmpeg.ts'
import { makeContactSheet, makePoster, makeVideo, measure } from '../../examples/video/transcode.ts'
import { tempDir } from '../support/run-folder.ts'
import { type ClipOptions, makeClip, makeLongClip, makeText } from './clips.ts'

const folder = tempDir('video')
const { signal } = new AbortController()
const system = await findTools()
const fromNpm: Tools = { ffmpeg: (createRequire(import.meta.url)('@ffmpeg-installer/ffmpeg') as { path: string }).path, ffprobe: undefined }

afterAll(() => rm(folder, { recursive: true }))

async function convert(
  tools: Tools,
  input: string,
): Promise<{ facts: Awaited<ReturnType<typeof measure>>; shares: number[]; video: string; poster: string; sheet: string }> {
  const target = await mkdtemp(join(folder, 'out-'))
  const conversion = { tools, input, folder: target, signal }
  const shares: number[] = []
  const video = await makeVideo(conversion, await probe(tools, input, signal), (share) => shares.push(share))
  const facts = await measure(conversion, video)
  const pictures = { ...conversion, input: video }
  const poster = await makePoster(pictures, facts.durationSeconds)
  return { facts, shares, video, poster, sheet: await makeContactSheet(pictures, facts.durationSeconds) }
}

async function sizeOf(picture: string): Promise<string> {
  const { stdout } = await promisify(execFile)('ffprobe', [
    '-v',
    'error',
    '-show_entries',
    'stream=width,height,codec_name',
    '-of',
    'csv=p=0',
    picture,
  ])
  return stdout.trim()
}

describe.each([
  ["the system's ffmpeg and ffprobe", system],
  ["npm's ffmpeg, which has no ffprobe", fromNpm],
])('%s', (_, tools) => {
  test('tells what is in a video', async () => {
    const clip = await makeClip(join(folder, 'clip.mp4'), { seconds: 3 })
    const found = await probe(tools, clip, signal)
    expect(found).toMatchObject({ video: { codec: 'h264', width: 640, height: 360 }, audio: { codec: 'aac' } })
    expect(found.format).toContain('mp4')
    expect(found.durationSeconds).toBeCloseTo(3, 1)
  })

  test('makes an MP4 that starts at once, a poster and a contact sheet', async () => {
    const clip = await makeClip(join(folder, 'large.mkv'), { seconds: 4, size: '1280x720', args: ['-c:v', 'mpeg4', '-c:a', 'flac'] })
    const { facts, shares, video, poster, sheet } = await convert(tools, clip)
    expect(facts).toMatchObject({ width: 854, height: 480 })
    expect(facts.durationSeconds).toBeCloseTo(4, 0)
    expect(await probe(system, video, signal)).toMatchObject({ video: { codec: 'h264' }, audio: { codec: 'aac' } })
    const bytes = await readFile(video)
    expect(bytes.indexOf('moov')).toBeLessThan(bytes.indexOf('mdat'))
    expect(shares.at(-1)).toBeGreaterThan(0.9)
    expect(shares).toEqual(shares.toSorted((a, b) => a - b))
    expect(await sizeOf(poster)).toBe('mjpeg,854,480')
    expect(await sizeOf(sheet)).toMatch(/^mjpeg,980,/)
  })

  test('refuses a text that calls itself a video', async () => {
    await expect(probe(tools, await makeText(join(folder, 'text.mp4')), signal)).rejects.toBeInstanceOf(FfmpegError)
    await expect(probe(tools, await makeText(join(folder, 'text.txt')), signal)).rejects.toBeInstanceOf(FfmpegError)
  })

  test.each([
    ['ffconcat', (clip: string) => `ffconcat version 1.0\nfile ${clip}\n`],
    ['HLS', (clip: string) => `#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n${clip}\n#EXT-X-ENDLIST\n`],
  ])('follows no %s list to files of this machine', async (kind, content) => {
    const clip = await makeClip(join(folder, 'private.ts'))
    const list = join(folder, `${kind}.mp4`)
    await writeFile(list, content(clip))
    await expect(probe(tools, list, signal)).rejects.toBeInstanceOf(FfmpegError)
  })

  test('makes no video of sound, also with a picture attached', async () => {
    const clip = await makeClip(join(folder, 'clip-2.mp4'))
    const sound = join(folder, 'sound.m4a')
    const { poster } = await convert(system, clip)
    await promisify(execFile)('ffmpeg', [
      '-v',
      'error',
      '-y',
      '-i',
      clip,
      '-i',
      poster,
      '-map',
      '0:a',
      '-map',
      '1',
      '-c:a',
      'copy',
      '-c:v',
      'mjpeg',
      '-disposition:v:0',
      'attached_pic',
      sound,
    ])
    await expect(convert(tools, sound)).rejects.toBeInstanceOf(FfmpegError)
  })
})

test.each<[string, ClipOptions, { width: number; height: number }]>([
  ['upright', { size: '720x1280' }, { width: 480, height: 854 }],
  ['small', { size: '160x90' }, { width: 160, height: 90 }],
  ['odd', { size: '321x241' }, { width: 320, height: 240 }],
  ['without sound', { audio: false }, { width: 640, height: 360 }],
  ['shorter than its sound', { args: ['-af', 'apad=whole_dur=30'] }, { width: 640, height: 360 }],
  ['of one frame', { seconds: 0.04, rate: 25, audio: false }, { width: 640, height: 360 }],
])('converts a video that is %s', async (name, options, expected) => {
  const clip = await makeClip(join(folder, `${name}.mkv`), { ...options, args: ['-c:v', 'mpeg4', ...(options.args ?? [])] })
  const { facts, poster, sheet } = await convert(system, clip)
  expect(Math.abs(facts.width - expected.width)).toBeLessThanOrEqual(2)
  expect(Math.abs(facts.height - expected.height)).toBeLessThanOrEqual(2)
  for (const picture of [poster, sheet]) expect((await stat(picture)).size).toBeGreaterThan(0)
})

test('stops at once when told to, and ends the program', async () => {
  const clip = await makeLongClip(join(folder, 'long.mp4'), 10)
  const stop = new AbortController()
  const target = await mkdtemp(join(folder, 'out-'))
  const reason = new Error('stopping')
  const making = makeVideo({ tools: system, input: clip, folder: target, signal: stop.signal }, await probe(system, clip, signal), () =>
    stop.abort(reason),
  )
  await expect(making).rejects.toBe(reason)
  const { stdout } = await promisify(execFile)('ps', ['-eo', 'args'])
  expect(stdout).not.toContain(target)
})

test('names what is missing', async () => {
  await expect(run(join(folder, 'no-such-program'), [], { signal })).rejects.toThrow('no-such-program')
  expect(await findTools({ PATH: folder })).toEqual(fromNpm)
  expect(await findTools({ PATH: folder, FFMPEG_PATH: '/opt/ffmpeg', FFPROBE_PATH: '/opt/ffprobe' })).toEqual({
    ffmpeg: '/opt/ffmpeg',
    ffprobe: '/opt/ffprobe',
  })
})
