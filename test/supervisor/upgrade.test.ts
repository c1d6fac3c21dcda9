/** USR2: a second master in the place of the first, and back, under load. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { omnibus, userFolder } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import type { Running } from '../support/process.ts'
import { isAlive } from '../support/processes.ts'
import { waitFor } from '../support/wait.ts'
import { ask, startLoad, type Load } from '../worker/load.ts'

const FILES = {
  'contracts.ts': `import { event, queue } from 'omnibus'
import { z } from 'zod'
export const Asked = event('asked.v1', { schema: z.object({}) })
export const asked = queue('asked', { listensTo: [Asked] })`,
  'work.ts': `import { appendFileSync } from 'node:fs'
import { consume, on } from 'omnibus'
import { Asked, asked } from './contracts.ts'
export default consume(asked, {}, on(Asked, (message) => appendFileSync('handled', message.id + '\\n')))`,
  'web.ts': `import { appendFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { createBus } from 'omnibus'
import { Asked, asked } from './contracts.ts'
const bus = createBus({ declares: [asked] })
export default async (request, response) => {
  for await (const _ of request);
  if (request.url.startsWith('/slow')) appendFileSync('published', (await bus.publish(Asked, {})).id + '\\n')
  if (request.url.startsWith('/slow')) await pause(40)
  response.end(String(process.ppid))
}`,
}

interface Server {
  readonly folder: string
  readonly socket: string
  /** With threads, in place of the socket. */
  readonly other: string
  readonly url: string
  readonly master: Running
  readonly load: Load
}

async function serve(kind: 'process' | 'thread' = 'process'): Promise<Server> {
  const folder = userFolder('upgrade')
  const [port, otherPort] = [await freePort(), await freePort()]
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, name), text)
  const second = kind === 'thread' ? `127.0.0.1:${otherPort}` : 'unix:web.sock'
  const web = { entry: './web.ts', kind, bind: [`127.0.0.1:${port}`, second], workers: 2 }
  const config = { web, consumers: { work: { entry: './work.ts' } }, pidFile: 'omnibus.pid', probes: `127.0.0.1:${await freePort()}` }
  const hooks = `hooks: { preExec() { appendFileSync('preExec', String(process.ppid)) } }`
  writeFileSync(
    join(folder, 'omnibus.config.ts'),
    `import { appendFileSync } from 'node:fs'\nexport default { ...${JSON.stringify(config)}, ${hooks} }\n`,
  )
  const master = omnibus(['serve'], { cwd: folder, env: { OMNIBUS_LOG: 'json' } })
  await master.line('Listening on')
  const url = `http://127.0.0.1:${port}`
  const other = `http://127.0.0.1:${otherPort}`
  return { folder, socket: join(folder, 'web.sock'), other, url, master, load: startLoad(url, { keepAlive: 6, closing: 6, posting: 2 }) }
}

/** The new master, once it is ready. */
async function upgrade({ master }: Server): Promise<number> {
  master.signal('SIGUSR2')
  return Number(/The new master (\d+) is ready/.exec(await master.line('is ready: TERM ends this one'))?.[1])
}

const lines = (folder: string, name: string): string[] => readFileSync(join(folder, name), 'utf8').trim().split('\n')
const pidIn = (folder: string, name: string): number => Number(readFileSync(join(folder, name), 'utf8'))

/** Both masters answer for a while, then one alone. */
async function answeredBy({ url }: Server, pid: number): Promise<void> {
  let inARow = 0
  await waitFor(async () => (inARow = (await ask(url)) === String(pid) ? inARow + 1 : 0) > 20, { what: `only ${pid} to answer` })
}

async function nothingLost({ load, folder }: Server): Promise<void> {
  const before = load.answered()
  await waitFor(() => load.answered() > before + 200, { what: 'the load to go on' })
  await load.stop()
  expect(load.failures).toEqual([])
  await waitFor(() => new Set(lines(folder, 'handled')).size === new Set(lines(folder, 'published')).size, { what: 'all messages' })
}

beforeAll(() => expect(existsSync(join(import.meta.dirname, '..', '..', 'dist'))).toBe(true))

describe('under load, without a request or a message lost,', () => {
  test('USR2, WINCH and TERM put a second master in the place of the first', async () => {
    const server = await serve()
    const { folder, master, load, socket } = server
    await using _ = master
    expect(pidIn(folder, 'omnibus.pid')).toBe(master.pid)
    const second = await upgrade(server)
    await waitFor(() => load.seen.size === 2, { what: 'answers of both' })
    expect([pidIn(folder, 'omnibus.pid'), pidIn(folder, 'omnibus.pid.2')]).toEqual([master.pid, second])
    expect(pidIn(folder, 'preExec')).toBe(master.pid)
    // One level deep, from either side.
    master.signal('SIGUSR2')
    await master.line(`No second master is started: there is one already: ${second}`)
    process.kill(second, 'SIGUSR2')
    await master.line(`No second master is started: this is one itself, and the first, ${master.pid}, still runs`)
    master.signal('SIGWINCH')
    await answeredBy(server, second)
    expect(isAlive(master.pid)).toBe(true)
    const owner = (JSON.parse(readFileSync(join(folder, '.omnibus', 'broker.json'), 'utf8')) as { pid: number }).pid
    master.signal('SIGTERM')
    expect(await master.exit()).toEqual({ code: 0, signal: null })
    await master.line(`Master ${master.pid} is gone, and this one has taken over`)
    await waitFor(() => pidIn(folder, 'omnibus.pid') === second && !existsSync(join(folder, 'omnibus.pid.2')), { what: 'the pid file' })
    await nothingLost(server)
    expect((JSON.parse(readFileSync(join(folder, '.omnibus', 'broker.json'), 'utf8')) as { pid: number }).pid).not.toBe(owner)
    // The second is as good as the first: it can be replaced itself, and its socket goes with the last.
    expect(await ask('http://h/', { socketPath: socket })).toBe(String(second))
    process.kill(second, 'SIGTERM')
    await waitFor(() => !isAlive(second) && !existsSync(socket), { what: 'the second to end, and its socket' })
    expect(existsSync(join(folder, 'omnibus.pid'))).toBe(false)
  })

  test('so they do where the web workers are threads, on each of several addresses', async () => {
    const server = await serve('thread')
    const { folder, master, load, other } = server
    await using _ = master
    expect(await ask(other)).toBe(String(master.pid))
    const second = await upgrade(server)
    await waitFor(() => load.seen.size === 2, { what: 'answers of both' })
    master.signal('SIGWINCH')
    await answeredBy(server, second)
    expect(isAlive(master.pid)).toBe(true)
    master.signal('SIGTERM')
    expect(await master.exit()).toEqual({ code: 0, signal: null })
    await nothingLost(server)
    expect(await ask(other)).toBe(String(second))
    process.kill(second, 'SIGTERM')
    await waitFor(() => !isAlive(second) && !existsSync(join(folder, 'omnibus.pid')), { what: 'the second to end' })
  })

  test('HUP takes the work back, and TERM ends the second', async () => {
    const server = await serve()
    const { folder, master, socket } = server
    await using _ = master
    const second = await upgrade(server)
    master.signal('SIGWINCH')
    await answeredBy(server, second)
    master.signal('SIGHUP')
    await master.line('The workers of this master take the work again')
    await master.line('"Reloaded"')
    process.kill(second, 'SIGTERM')
    await master.line(`The new master ${second} ended with code 0; this one goes on`)
    await answeredBy(server, master.pid)
    await nothingLost(server)
    expect(existsSync(socket)).toBe(true)
    expect(pidIn(folder, 'omnibus.pid')).toBe(master.pid)
    expect(existsSync(join(folder, 'omnibus.pid.2'))).toBe(false)
  })

  test('a second master that cannot start, or is killed while the workers rest, changes nothing', async () => {
    const server = await serve()
    const { folder, master } = server
    await using _ = master
    const config = readFileSync(join(folder, 'omnibus.config.ts'), 'utf8')
    writeFileSync(join(folder, 'omnibus.config.ts'), 'export default {')
    master.signal('SIGUSR2')
    await master.line(/The new master \d+ ended with code 78; this one goes on/)
    writeFileSync(join(folder, 'omnibus.config.ts'), config)
    const second = await upgrade(server)
    master.signal('SIGWINCH')
    await answeredBy(server, second)
    process.kill(second, 'SIGKILL')
    await master.line('The workers of this master take the work again')
    await answeredBy(server, master.pid)
    // What was sent to the one that was killed is lost with it; the rest is not.
    await server.load.stop()
    expect(await ask('http://h/', { socketPath: server.socket })).toBe(String(master.pid))
  })
})
