import { createReadStream, createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type HandlerContext, type Message, Reject } from 'omnibus'
import { type Output, type Ready, type Uploaded, VideoFailed, VideoProgressed, VideoReady } from './contracts.ts'
import { FfmpegError, probe, type Tools } from './ffmpeg.ts'
import { isFull, type Storage } from './storage.ts'
import { type Conversion, makeContactSheet, makePoster, makeVideo, measure } from './transcode.ts'
import { DiskFull, TooMuchWork, type WorkFolders } from './work-folder.ts'

export interface ProcessingOptions {
  readonly storage: Storage
  readonly tools: Tools
  readonly workFolders: WorkFolders
  /** After this many tries an error that might have passed is final. */
  readonly attempts: number
}

/** No try will ever succeed; the message is for the person who uploaded it. */
class Unusable extends Error {
  override readonly name = 'Unusable'
}

/**
 * Handles an upload. It may be run again at any time, also after its process was killed: outputs go to the same keys, the
 * metadata last, and where that is found only the announcement is repeated.
 */
export function createProcessing(options: ProcessingOptions): (message: Message<Uploaded>, context: HandlerContext) => Promise<void> {
  return async ({ data }, context) => {
    const progress = createProgress(data.id, context)
    try {
      const ready = (await readFinished(options.storage, data.id)) ?? (await convert(options, data, context.signal, progress.report))
      await progress.settled()
      await context.publish(VideoReady, ready, { id: `${data.id}:ready` })
    } catch (error) {
      await progress.settled()
      // A stop or a timeout: the message comes again, and nothing is known about the video.
      if (context.signal.aborted) throw error
      const reason =
        finalReason(error) ??
        (context.attempt >= options.attempts ? `Given up after ${context.attempt} tries. ${explain(error)}` : undefined)
      if (reason === undefined) throw error
      await context.publish(VideoFailed, { id: data.id, reason }, { id: `${data.id}:failed` })
      throw new Reject(reason, { cause: error })
    }
  }
}

type Report = (stage: 'loading' | 'transcoding' | 'pictures' | 'saving', progress: number) => void

async function convert(
  { storage, tools, workFolders }: ProcessingOptions,
  video: Uploaded,
  stop: AbortSignal,
  report: Report,
): Promise<Ready> {
  const found = await storage.stat(video.path)
  if (!found) throw new Unusable('The upload is no longer in storage.')
  // The upload and, at worst, an output as large.
  return workFolders.use(found.bytes * 2, stop, async (folder, signal) => {
    const input = join(folder, 'original')
    report('loading', 0)
    await pipeline(await storage.open(video.path), createWriteStream(input), { signal })
    report('transcoding', 0.05)
    const source = await probe(tools, input, signal)
    if (!source.video) throw new Unusable(source.audio ? 'The file has sound, but no video.' : 'The file has no video in it.')
    const conversion: Conversion = { tools, input, folder, signal }
    const made = await makeVideo(conversion, source, (share) => report('transcoding', 0.05 + share * 0.75))
    const facts = await measure(conversion, made)
    report('pictures', 0.8)
    const pictures = { ...conversion, input: made }
    const poster = await makePoster(pictures, facts.durationSeconds)
    report('pictures', 0.85)
    const sheet = await makeContactSheet(pictures, facts.durationSeconds)
    report('saving', 0.9)
    const outputs = [
      await save(storage, video.id, 'video', made, 'video/mp4', signal),
      await save(storage, video.id, 'poster', poster, 'image/jpeg', signal),
      await save(storage, video.id, 'contact-sheet', sheet, 'image/jpeg', signal),
    ]
    const metadata = JSON.stringify(
      { id: video.id, name: video.name, ...facts, source: { bytes: found.bytes, ...source }, outputs },
      undefined,
      2,
    )
    await storage.write(metadataPath(video.id), metadata, { contentType: 'application/json', signal })
    return { id: video.id, ...facts, outputs: [...outputs, metadataOutput(video.id, metadata)] }
  })
}

async function save(
  storage: Storage,
  id: string,
  kind: Output['kind'],
  file: string,
  contentType: string,
  signal: AbortSignal,
): Promise<Output> {
  const path = `videos/${id}/files/${file.slice(file.lastIndexOf('/') + 1)}`
  await storage.write(path, createReadStream(file), { contentType, signal })
  return { kind, path, contentType, bytes: (await stat(file)).size }
}

const metadataPath = (id: string): string => `videos/${id}/files/metadata.json`

function metadataOutput(id: string, text: string): Output {
  return { kind: 'metadata', path: metadataPath(id), contentType: 'application/json', bytes: Buffer.byteLength(text) }
}

/** What an earlier run finished and could not announce any more. */
async function readFinished(storage: Storage, id: string): Promise<Ready | undefined> {
  const text = await storage.read(metadataPath(id))
  if (text === undefined) return undefined
  const { durationSeconds, width, height, outputs } = JSON.parse(text) as Ready
  return { id, durationSeconds, width, height, outputs: [...outputs, metadataOutput(id, text)] }
}

function finalReason(error: unknown): string | undefined {
  if (error instanceof Unusable || error instanceof TooMuchWork) return error.message
  if (error instanceof FfmpegError && !error.full && !error.killed) return `This is no video that can be read: ${error.lastLine}.`
  return undefined
}

function explain(error: unknown): string {
  if (error instanceof DiskFull) return error.message
  if (isFull(error) || (error instanceof FfmpegError && error.full)) return 'The disk is full.'
  if (error instanceof FfmpegError) return `ffmpeg says: ${error.lastLine}`
  return `The storage or the tools failed: ${error instanceof Error ? error.message : String(error)}`
}

/** At most one message each this often, and none for less than a hundredth. Milliseconds. */
const PROGRESS_EVERY_MS = 400

/** Progress is told, not promised: it never delays the work, and what cannot be sent is dropped. */
function createProgress(id: string, context: HandlerContext): { report: Report; settled(): Promise<void> } {
  let sending: Promise<unknown> | undefined
  let lastPercent = -1
  let lastAt = -Infinity
  return {
    report(stage, progress) {
      const percent = Math.floor(progress * 100)
      const now = performance.now()
      if (sending || percent <= lastPercent || now - lastAt < PROGRESS_EVERY_MS) return
      lastPercent = percent
      lastAt = now
      // Each percent has an id, so that a second run repeats messages instead of making new ones.
      sending = context
        .publish(VideoProgressed, { id, progress: percent / 100, stage }, { id: `${id}:progress:${percent}`, signal: context.signal })
        .catch(() => undefined)
        .finally(() => void (sending = undefined))
    },
    settled: async () => void (await sending),
  }
}
