import { fileURLToPath } from 'node:url'
import multipart from '@fastify/multipart'
import staticFiles from '@fastify/static'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { Bus } from 'omnibus'
import { openCatalog } from '../catalog.ts'
import { findTools } from '../ffmpeg.ts'
import type { VideoRecord } from '../record.ts'
import type { Settings } from '../settings.ts'
import type { Storage } from '../storage.ts'
import { openWorkFolders } from '../work-folder.ts'
import { sendFile } from './files.ts'
import { createLive, follow } from './live.ts'
import { notFound, Problem } from './problem.ts'
import { makeSample } from './sample.ts'
import { createUploads, tooLarge } from './uploads.ts'

export interface WebOptions {
  readonly bus: Pick<Bus, 'publish' | 'consume' | 'connected'>
  readonly storage: Storage
  readonly settings: Settings
  readonly publishDeadlineMs?: number
}

const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
}
/** Boundaries, part headers and small fields around the file itself. */
const MULTIPART_BYTES = 64 * 1024
const PAGE_SIZE = 60
/** Well beyond a publish's own deadline, so that nothing still under way is announced twice. Milliseconds. */
const LEFT_AFTER_MS = 60_000

export async function createWeb(options: WebOptions): Promise<FastifyInstance> {
  const { bus, storage, settings } = options
  const catalog = openCatalog(storage)
  const uploads = createUploads({ ...options, catalog, maxUploadBytes: settings.maxUploadBytes })
  const live = createLive()
  const closing = new AbortController()
  let samples = 0
  const app = Fastify({ logger: { level: 'warn' }, trustProxy: false, forceCloseConnections: 'idle' })

  await app.register(multipart, { limits: { fileSize: settings.maxUploadBytes + 1, files: 1, fields: 20, fieldSize: 4096 } })
  await app.register(staticFiles, { root: fileURLToPath(new URL('../page', import.meta.url)), wildcard: false, cacheControl: false })
  app.addHook('onRequest', async (request, reply) => {
    void reply.headers(HEADERS)
    refuseOtherSites(request)
  })
  app.setNotFoundHandler(() => {
    throw notFound('page')
  })
  app.setErrorHandler<Error & { statusCode?: number; code?: string }>((error, request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500) request.log.error(error)
    if (status === 503) void reply.header('retry-after', '5')
    const code = error instanceof Problem ? error.code : status < 500 ? 'bad_request' : 'internal'
    return reply
      .code(status)
      .send({ error: code, message: status < 500 || error instanceof Problem ? error.message : 'Something went wrong here.' })
  })

  app.post('/videos', async (request, reply) => {
    const declared = Number(request.headers['content-length'] ?? 0)
    if (declared > settings.maxUploadBytes + MULTIPART_BYTES) throw tooLarge(settings.maxUploadBytes)
    if (!request.isMultipart()) throw new Problem(400, 'no_file', 'Send the video as multipart/form-data, in the field "file".')
    const file = await request.file().catch((cause: Error) => {
      throw new Problem(400, 'malformed', `The multipart body cannot be read: ${cause.message}.`, { cause })
    })
    if (!file) throw new Problem(400, 'no_file', 'There is no file in the field "file".')
    try {
      if (file.fieldname !== 'file')
        throw new Problem(400, 'wrong_field', `The file must be in the field "file", not in "${file.fieldname.slice(0, 100)}".`)
      // The generator must not destroy the part: what follows a refusal is still to be read, so that the answer arrives.
      const id = await uploads.accept(
        file.filename,
        file.file.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>,
        gone(request),
      )
      return await reply.code(202).header('location', `/videos/${id}`).send({ id })
    } finally {
      file.file.resume()
    }
  })

  app.post('/samples', async (request, reply) => {
    const signal = gone(request)
    const tools = await findTools()
    const folders = await openWorkFolders(settings.tempFolder, settings.maxTempBytes)
    if (samples >= 2) throw new Problem(429, 'busy', 'Samples are being made already.')
    samples += 1
    const id = await makeSample(tools, folders, signal, (name, body) => uploads.accept(name, body, signal)).finally(() => (samples -= 1))
    return reply.code(202).header('location', `/videos/${id}`).send({ id })
  })

  app.get<{ Querystring: { before?: unknown } }>('/videos', async ({ query: { before } }, reply) => {
    if (before !== undefined && !isId(before)) throw new Problem(400, 'bad_query', '"before" must be the id of a video.')
    const records = await catalog.list({ limit: PAGE_SIZE + 1, ...(before && { before }) })
    const page = records.slice(0, PAGE_SIZE)
    if (records.length > PAGE_SIZE) void reply.header('link', `</videos?before=${page.at(-1)?.id}>; rel="next"`)
    return page.map(present)
  })

  app.get<{ Params: { id: string } }>('/videos/:id', async ({ params: { id } }) => {
    const record = isId(id) ? await catalog.read(id) : undefined
    if (!record) throw notFound('video')
    return present(record)
  })

  app.get<{ Params: { id: string; name: string } }>('/videos/:id/files/:name', async (request, reply) => {
    const { id, name } = request.params
    if (!isId(id)) throw notFound('video')
    return sendFile(storage, id, name, request, reply)
  })

  app.get('/events', (_, reply) => {
    void reply.headers({ 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
    return reply.send(live.open())
  })

  app.get('/limits', () => ({ maxUploadBytes: settings.maxUploadBytes }))

  app.get('/readyz', async (_, reply) => {
    const reachable = await storage.stat('records/none.json').then(
      () => true,
      () => false,
    )
    const state = { bus: bus.connected ? 'connected' : 'disconnected', storage: reachable ? 'reachable' : 'unreachable' }
    return reply.code(bus.connected && reachable ? 200 : 503).send(state)
  })

  app.addHook('onReady', () => {
    void follow(bus, live, closing.signal, (error) => app.log.warn(error, 'the live feed has no events yet'))
    void uploads.announceLeft(LEFT_AFTER_MS).catch((error: unknown) => app.log.warn(error, 'uploads left behind were not announced'))
  })
  app.addHook('preClose', () => {
    closing.abort()
    live.close()
  })
  return app
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value)
}

/** Paths become addresses here; what only the bookkeeping needs stays inside. */
function present(record: VideoRecord): object {
  return { ...record, applied: undefined, outputs: record.outputs.map((output) => ({ ...output, path: `/${output.path}` })) }
}

/** Another site's page could make a browser post here; such a request carries where it comes from. */
function refuseOtherSites({ method, headers: { origin, host } }: FastifyRequest): void {
  if (method === 'GET' || method === 'HEAD' || origin === undefined) return
  if (!URL.canParse(origin) || new URL(origin).host !== host) throw new Problem(403, 'other_site', 'Requests from other sites are refused.')
}

/** Aborts when the client leaves before it was answered. */
function gone({ raw }: FastifyRequest): AbortSignal {
  const leaving = new AbortController()
  raw.once('close', () => {
    if (!raw.complete) leaving.abort(new Problem(499, 'client_gone', 'The client went away.'))
  })
  return leaving.signal
}
