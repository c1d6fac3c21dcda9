import { existsSync, mkdirSync, openAsBlob, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { chmod, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { VideoRecord } from '../../examples/video/record.ts'
import { omnibus, root } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import type { Running } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'

export interface HouseOptions {
  /** Unset: the built-in broker. */
  readonly busUrl?: string | undefined
  readonly storageUrl?: string
  /** @default the example's own */
  readonly config?: string
  readonly env?: Record<string, string>
}

/** The example under `omnibus serve`, with all it keeps in a folder of the test's. */
export interface House extends AsyncDisposable {
  readonly address: string
  readonly folder: string
  /** The process now; another one after `start`. */
  readonly server: Running
  start(): Promise<void>
  /** TERM; resolves with the exit code. */
  stop(): Promise<number | null>
  /** The process of a unit, e.g. `video.1`, that was last said to be ready. */
  pidOf(unit: string): number
  ffmpegs(): number[]
  /** While they are slow, conversions take as long as the film; a running one does not change. */
  setSlow(slow: boolean): void
  upload(file: string): Promise<string>
  get(id: string): Promise<VideoRecord>
  /** Waits for a state, and fails at once when the video ends in another. */
  reaches(id: string, state: VideoRecord['state'], deadlineMs?: number): Promise<VideoRecord>
  /** Waits for processing to have got so far. */
  progresses(id: string, share: number): Promise<VideoRecord>
}

export async function openHouse(options: HouseOptions = {}): Promise<House> {
  const folder = tempDir('house')
  const port = await freePort()
  const address = `http://127.0.0.1:${port}`
  const slow = join(folder, 'slow')
  const env = {
    PORT: String(port),
    BUS_URL: options.busUrl,
    STORAGE_URL: options.storageUrl ?? pathToFileURL(join(folder, 'storage')).href,
    VIDEO_TEMP: join(folder, 'temp'),
    FFMPEG_PATH: await slowableFfmpeg(folder, slow),
    ...options.env,
  }
  const launch = async (): Promise<Running> => {
    const config = options.config ?? join(root, 'examples', 'video', 'omnibus.config.ts')
    const started = omnibus(['serve', config, '--data', join(folder, 'data')], { cwd: folder, env })
    await started.line(`Listening on ${address}`)
    await waitFor(async () => (await fetch(`${address}/readyz`)).status === 200, { what: 'the web app to be ready' })
    return started
  }
  let server = await launch()
  const get = async (id: string): Promise<VideoRecord> => {
    // A new connection each time, so that the workers take turns.
    const answer = await fetch(`${address}/videos/${id}`, { headers: { connection: 'close' } })
    if (!answer.ok) throw new Error(`GET /videos/${id} answered ${answer.status}: ${await answer.text()}`)
    return (await answer.json()) as VideoRecord
  }
  const until = async (id: string, what: string, reached: (record: VideoRecord) => boolean, deadlineMs: number): Promise<VideoRecord> => {
    const done = async (): Promise<VideoRecord | false> => {
      const record = await get(id)
      return reached(record) || record.state === 'ready' || record.state === 'failed' ? record : false
    }
    const record = await waitFor(done, { what: `${id} ${what}`, deadlineMs, everyMs: 100 }).catch((error: Error) => {
      throw new Error(`${error.message}\n--- the server said:\n${server.lines.slice(-40).join('\n')}`)
    })
    if (reached(record)) return record
    throw new Error(`${id} is ${record.state} instead (${what}): ${JSON.stringify(record)}`)
  }
  return {
    address,
    folder,
    get server() {
      return server
    },
    async start() {
      server = await launch()
    },
    async stop() {
      server.signal('SIGTERM')
      return (await server.exit()).code
    },
    pidOf(unit) {
      const line = server.lines.findLast((each) => each.includes(`"msg":"${unit} is ready"`))
      if (line === undefined) throw new Error(`${unit} was never ready:\n${server.lines.join('\n')}`)
      return (JSON.parse(line) as { pid: number }).pid
    },
    ffmpegs: () => server.processes().filter((pid) => programOf(pid) === 'ffmpeg'),
    setSlow(wanted) {
      if (wanted) writeFileSync(slow, '')
      else rmSync(slow, { force: true })
    },
    async upload(file) {
      const body = new FormData()
      body.append('file', await openAsBlob(file), basename(file))
      const answer = await fetch(`${address}/videos`, { method: 'POST', body })
      const text = await answer.text()
      if (answer.status !== 202) throw new Error(`POST /videos answered ${answer.status}: ${text}`)
      return (JSON.parse(text) as { id: string }).id
    },
    get,
    reaches: (id, state, deadlineMs = 60_000) => until(id, `to be ${state}`, (record) => record.state === state, deadlineMs),
    progresses: (id, share) =>
      until(id, `to get to ${share}`, (record) => record.state === 'processing' && record.progress >= share, 60_000),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

function programOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return undefined
  }
}

/** The system's ffmpeg, which reads no faster than a film plays while the file `slow` exists. */
async function slowableFfmpeg(folder: string, slow: string): Promise<string> {
  const script = join(folder, 'ffmpeg.sh')
  await writeFile(script, `#!/bin/sh\nif [ -e '${slow}' ]; then exec ffmpeg -re "$@"; else exec ffmpeg "$@"; fi\n`)
  await chmod(script, 0o755)
  return script
}

/** Makes packages of this repository importable from `folder`, as `npm install` there would. */
export function install(folder: string, packages: readonly string[]): void {
  for (const name of packages) {
    const link = join(folder, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    if (!existsSync(link)) symlinkSync(join(root, 'node_modules', name), link)
  }
}
