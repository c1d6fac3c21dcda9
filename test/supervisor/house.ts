/** A folder with a config and misbehaving children, and the real master over it. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../support/ports.ts'
import { run, type Running } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import type { Status } from '../../src/supervisor/status.ts'

export interface House extends AsyncDisposable {
  readonly folder: string
  readonly probes: string
  readonly port: number
  readonly master: Running
  /** How each unit misbehaves from its next start on. */
  behave(behaviours: Record<string, string>): void
  /** Replaces the config file. */
  configure(config: Record<string, unknown>): void
  /** Everything logged, by master and children, in order. */
  messages(): string[]
  said(pattern: RegExp | string, options?: { from?: number }): Promise<string>
  status(): Promise<Status & { pid: number }>
  ready(): Promise<Status & { pid: number }>
}

export interface HouseOptions {
  readonly config?: Record<string, unknown>
  readonly behaviours?: Record<string, string>
  readonly env?: Record<string, string>
  /** The text of the config file, in place of `config`. */
  readonly source?: string
}

const QUICK = { minMs: 20, maxMs: 100, maxCrashes: 3, windowMs: 60_000 }

/** Two web workers on a fixed bus URL, unless told otherwise. */
export async function house(options: HouseOptions = {}): Promise<House> {
  const folder = tempDir('house')
  const port = await freePort()
  const probePort = await freePort()
  const probes = `http://127.0.0.1:${probePort}`
  for (const name of ['web.ts', 'video.ts']) writeFileSync(join(folder, name), 'export {}\n')
  const configure = (config: Record<string, unknown>): void =>
    writeFileSync(
      join(folder, 'omnibus.config.ts'),
      `export default ${JSON.stringify({
        bus: { url: 'amqp://guest:canary-password@127.0.0.1:1/' },
        web: { entry: './web.ts', workers: 2, bind: `127.0.0.1:${port}` },
        probes: `127.0.0.1:${probePort}`,
        restart: QUICK,
        log: { level: 'debug' },
        ...config,
      })}\n`,
    )
  const behave = (behaviours: Record<string, string>): void => writeFileSync(join(folder, 'behaviours.json'), JSON.stringify(behaviours))
  configure(options.config ?? {})
  if (options.source !== undefined) writeFileSync(join(folder, 'omnibus.config.ts'), options.source)
  behave(options.behaviours ?? {})
  const script = join(import.meta.dirname, 'fixtures', 'master.ts')
  const master = run(process.execPath, [script, join(folder, 'omnibus.config.ts')], {
    cwd: folder,
    label: 'master',
    ...(options.env && { env: options.env }),
  })
  const status = async (): Promise<Status & { pid: number }> =>
    (await fetch(`${probes}/status`)).json() as Promise<Status & { pid: number }>
  return {
    folder,
    probes,
    port,
    master,
    behave,
    configure,
    messages: () => master.lines.map(messageIn),
    said: async (pattern, found = {}) => messageIn(await master.line(pattern, found)),
    status,
    async ready() {
      return waitFor(
        async () => {
          const now = await status()
          return now.ready && !now.degraded && !now.reloading && now
        },
        { what: 'the house to be ready' },
      ).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${master.lines.slice(-30).join('\n')}`)
      })
    },
    [Symbol.asyncDispose]: () => master[Symbol.asyncDispose](),
  }
}

/** `web.1: stop stop true` from a log line; other lines as they are. */
function messageIn(line: string): string {
  try {
    const { unit, msg } = JSON.parse(line) as { unit: string; msg: string }
    return `${unit}: ${msg}`
  } catch {
    return line
  }
}

export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((candidate) => Number(/\) \S (\d+)/.exec(readProc(candidate, 'stat'))?.[1]) === pid)
}

export const commandLine = (pid: number): string => readProc(pid, 'cmdline').replaceAll('\0', ' ').trim()

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}
