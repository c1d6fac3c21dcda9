import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { type Bus, PublishError } from 'omnibus'
import type { Catalog } from '../catalog.ts'
import { type Uploaded, VideoUploaded } from '../contracts.ts'
import { isAnnounced, newRecord, type VideoRecord } from '../record.ts'
import { isFull, type Storage } from '../storage.ts'
import { Problem } from './problem.ts'

export interface UploadsOptions {
  readonly bus: Pick<Bus, 'publish'>
  readonly storage: Storage
  readonly catalog: Catalog
  readonly maxUploadBytes: number
  /** How long the bus may take to keep the announcement. Milliseconds. @default 10_000 */
  readonly publishDeadlineMs?: number
}

export interface Uploads {
  /** Stores a video and announces it. Resolves with its id when both are kept; else nothing is left. Throws `Problem`. */
  accept(name: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string>
  /** Announces uploads again whose process died before it could. They may come twice then, which does no harm. */
  announceLeft(olderThanMs: number): Promise<string[]>
}

export function createUploads(options: UploadsOptions): Uploads {
  const { bus, storage, catalog, maxUploadBytes, publishDeadlineMs = 10_000 } = options
  const announce = (data: Uploaded) => bus.publish(VideoUploaded, data, { id: `${data.id}:uploaded`, deadlineMs: publishDeadlineMs })

  return {
    async accept(name, body, signal) {
      const id = newId(Date.now())
      const path = pathOf(id)
      let bytes = 0
      const counted = async function* (): AsyncGenerator<Uint8Array> {
        for await (const chunk of readable(body)) {
          bytes += chunk.byteLength
          if (bytes > maxUploadBytes) throw tooLarge(maxUploadBytes)
          yield chunk
        }
        if (bytes === 0) throw new Problem(400, 'empty_file', 'The file is empty.')
      }
      try {
        await storage.write(path, Readable.from(counted(), { objectMode: false }), { contentType: 'application/octet-stream', signal })
        const uploaded: Uploaded = { id, path, name: tidyName(name), bytes, uploadedAt: new Date().toISOString() }
        await catalog.write(newRecord(uploaded))
        await announce(uploaded)
        return id
      } catch (error) {
        await Promise.allSettled([storage.remove(path), catalog.remove(id)])
        throw toProblem(error)
      }
    },
    async announceLeft(olderThanMs) {
      const before = new Date(Date.now() - olderThanMs).toISOString()
      const recent = await catalog.list({ limit: 200 })
      const left = recent.filter((record) => !isAnnounced(record) && record.uploadedAt < before)
      for (const record of left) await announce(announcementOf(record))
      return left.map(({ id }) => id)
    },
  }
}

/** Tells a body that breaks off from a storage that fails. */
async function* readable(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]()
  for (;;) {
    const next = await chunks.next().catch((cause: unknown) => {
      throw new Problem(400, 'broken_upload', 'The upload broke off. Nothing was kept.', { cause })
    })
    if (next.done) return
    yield next.value
  }
}

export function tooLarge(maxUploadBytes: number): Problem {
  return new Problem(413, 'too_large', `The file is larger than the ${maxUploadBytes} bytes that are allowed.`)
}

const pathOf = (id: string): string => `videos/${id}/files/original`

function announcementOf({ id, name, bytes, uploadedAt }: VideoRecord): Uploaded {
  return { id, path: pathOf(id), name, bytes, uploadedAt }
}

/** A UUID of version 7, which begins with its time (RFC 9562 §5.7), so that names sort by age. */
export function newId(now: number): string {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(now, 0, 6)
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x70, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** For showing only: the last part of a path, without control characters, and not endless. */
function tidyName(name: string): string {
  const last = name.split(/[\\/]/).at(-1) ?? ''
  return (
    last
      .replaceAll(/\p{Cc}|\p{Cf}/gu, '')
      .trim()
      .slice(0, 200) || 'Untitled'
  )
}

function toProblem(error: unknown): unknown {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (cause instanceof Problem) return cause
  if (isFull(error)) return new Problem(507, 'storage_full', 'The storage is full. Nothing was kept.', { cause: error })
  if (error instanceof PublishError) {
    return new Problem(503, 'bus_unreachable', 'The upload could not be announced, and was not kept. Try again in a moment.', {
      cause: error,
    })
  }
  return error
}
