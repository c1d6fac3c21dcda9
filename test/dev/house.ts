/** A folder of a user's own under the real `omnibus dev`. */
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { omnibus, userFolder } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import type { Running } from '../support/process.ts'
import { waitFor } from '../support/wait.ts'

export interface House extends AsyncDisposable {
  readonly folder: string
  /** `http://host:port` of the web app. */
  readonly address: string
  readonly dev: Running
  write(name: string, text: string): void
  /** As many editors do: a new file takes the old one's name. */
  writeByRename(name: string, text: string): void
  /** Makes a link, or lets it lead elsewhere. */
  link(name: string, target: string): void
  /** A file, or a folder with all that is in it. */
  remove(name: string): void
  /** What the app answers now, on a connection of its own. */
  ask(path?: string, headers?: Record<string, string>): Promise<{ code: number; body: string }>
  /** The same for a browser. */
  page(): Promise<{ code: number; body: string }>
  /** Waits until that is the app's answer. */
  answers(path: string, body: string): Promise<void>
  /** A line that was written since the change before, see `since`. */
  said(pattern: RegExp | string): Promise<string>
  /** Forgets what was said so far. */
  since(): void
  /** What was said since then. */
  heard(): readonly string[]
}

/** `files` and links by name. */
export async function openHouse(files: Readonly<Record<string, string>>, links: Readonly<Record<string, string>> = {}): Promise<House> {
  const folder = userFolder('dev')
  const bind = `127.0.0.1:${await freePort()}`
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  const link = (name: string, target: string): void => {
    symlinkSync(target, join(folder, `${name}.new`))
    renameSync(join(folder, `${name}.new`), join(folder, name))
  }
  for (const [name, text] of Object.entries(files)) write(name, text)
  for (const [name, target] of Object.entries(links)) link(name, target)
  const dev = omnibus(['dev', '-b', bind], { cwd: folder })
  const ask: House['ask'] = async (path = '/', headers = {}) => {
    const answer = await fetch(`http://${bind}${path}`, { headers: { connection: 'close', ...headers } })
    return { code: answer.status, body: await answer.text() }
  }
  let from = 0
  return {
    folder,
    address: `http://${bind}`,
    dev,
    write,
    writeByRename(name, text) {
      write(`${name}.new`, text)
      renameSync(join(folder, `${name}.new`), join(folder, name))
    },
    link,
    remove: (name) => rmSync(join(folder, name), { recursive: true }),
    ask,
    page: () => ask('/', { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }),
    async answers(path, body) {
      await waitFor(async () => (await ask(path)).body === body, { what: `${path} to answer ${body}` }).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${dev.lines.slice(-30).join('\n')}`)
      })
    },
    said: (pattern) => dev.line(pattern, { from }),
    since: () => void (from = dev.lines.length),
    heard: () => dev.lines.slice(from),
    [Symbol.asyncDispose]: () => dev[Symbol.asyncDispose](),
  }
}
