/**
 * The only file the web team and the video team share. Everything else each side owns, deploys and scales alone.
 * Paths are storage keys; both sides open the same storage. What is published as v1 stays as it is: a change is a v2 beside it.
 */
import { event, queue } from 'omnibus'
import { z } from 'zod'

const id = z.uuid()
const path = z.string().min(1)
const bytes = z.int().nonnegative()

const output = z.object({ kind: z.enum(['video', 'poster', 'contact-sheet', 'metadata']), path, contentType: z.string().min(1), bytes })

const uploaded = z.object({ id, path, name: z.string(), bytes: bytes.positive(), uploadedAt: z.iso.datetime() })
const progressed = z.object({ id, progress: z.number().min(0).max(1), stage: z.enum(['loading', 'transcoding', 'pictures', 'saving']) })
const ready = z.object({
  id,
  outputs: z.array(output).min(1),
  durationSeconds: z.number().nonnegative(),
  width: z.int().positive(),
  height: z.int().positive(),
})
const failed = z.object({ id, reason: z.string().min(1) })

/** An upload lies in storage, whole, and wants processing. */
export const VideoUploaded = event('video.uploaded.v1', { schema: uploaded })

/** Never the last word: it may come late, twice or not at all. `progress` is 0 to 1. */
export const VideoProgressed = event('video.progressed.v1', { schema: progressed })

/** All outputs lie in storage. Its message id is `<video id>:ready`, so it counts once however often it is sent. */
export const VideoReady = event('video.ready.v1', { schema: ready })

/** Given up for good; `reason` is a sentence for the person who uploaded it. Its message id is `<video id>:failed`. */
export const VideoFailed = event('video.failed.v1', { schema: failed })

/** What the video component works on. */
export const transcode = queue('video.transcode', { listensTo: [VideoUploaded] })

/** What the web app's records are kept from. */
export const records = queue('video.records', { listensTo: [VideoUploaded, VideoProgressed, VideoReady, VideoFailed] })

export type Uploaded = z.infer<typeof uploaded>
export type Progressed = z.infer<typeof progressed>
export type Ready = z.infer<typeof ready>
export type Failed = z.infer<typeof failed>
export type Output = z.infer<typeof output>
