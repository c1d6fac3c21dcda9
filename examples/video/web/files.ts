import type { FastifyReply, FastifyRequest } from 'fastify'
import { Readable } from 'node:stream'
import type { Storage } from '../storage.ts'
import { notFound } from './problem.ts'

/** All files a video may have, and nothing else is looked for. */
const CONTENT_TYPES: ReadonlyMap<string, string> = new Map([
  ['video.mp4', 'video/mp4'],
  ['poster.jpg', 'image/jpeg'],
  ['contact-sheet.jpg', 'image/jpeg'],
  ['metadata.json', 'application/json; charset=utf-8'],
  // It is a stranger's: to be kept, never to be interpreted.
  ['original', 'application/octet-stream'],
])

/** Answers `GET` and `HEAD` for one file, whole or in part (RFC 9110 §14). */
export async function sendFile(
  storage: Storage,
  id: string,
  name: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const contentType = CONTENT_TYPES.get(name)
  const key = `videos/${id}/files/${name}`
  const found = contentType === undefined ? undefined : await storage.stat(key)
  if (!found) throw notFound('file')
  const { bytes, etag, modified } = found
  void reply.headers({ 'accept-ranges': 'bytes', 'cache-control': 'private, no-cache', etag, 'last-modified': modified.toUTCString() })
  if (name === 'original') void reply.header('content-disposition', `attachment; filename="${id}"`)
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()

  // Ranges are for GET alone (RFC 9110 §14.2).
  const isHead = request.method === 'HEAD'
  const range = isHead ? undefined : readRange(request.headers.range, bytes, isCurrent(request.headers['if-range'], etag, modified))
  if (range === 'unsatisfiable') {
    void reply.code(416).header('content-range', `bytes */${bytes}`)
    return reply.send({ error: 'range_not_satisfiable', message: `The file has ${bytes} bytes.` })
  }
  void reply.type(contentType ?? '')
  if (range) void reply.code(206).header('content-range', `bytes ${range.start}-${range.end}/${bytes}`)
  void reply.header('content-length', range ? range.end - range.start + 1 : bytes)
  // Fastify keeps the length of a stream and drops what is in it; without one it would say 0.
  return reply.send(isHead ? Readable.from([]) : await storage.open(key, range))
}

/** Undefined for the whole file: no range, one in a form that may be ignored, or one of an older version of the file. */
export function readRange(
  header: string | undefined,
  bytes: number,
  current = true,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.replaceAll(' ', '') ?? '')
  if (!match || !current || (match[1] === '' && match[2] === '')) return undefined
  const last = match[2] === '' ? Infinity : Number(match[2])
  if (match[1] === '') return last === 0 || bytes === 0 ? 'unsatisfiable' : { start: Math.max(0, bytes - last), end: bytes - 1 }
  const start = Number(match[1])
  if (last < start) return undefined
  return start >= bytes ? 'unsatisfiable' : { start, end: Math.min(last, bytes - 1) }
}

/** `If-Range` holds an entity tag or a date; a part is of use only to who has the rest of the same version. */
function isCurrent(ifRange: string | string[] | undefined, etag: string, modified: Date): boolean {
  if (ifRange === undefined) return true
  return ifRange === etag ? !etag.startsWith('W/') : ifRange === modified.toUTCString()
}
