/** Where the web part listens: TCP, unix sockets, several at once, and sockets that somebody else has bound. */
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { program } from '../support/built.ts'
import { freePort, freePorts } from '../support/ports.ts'
import { run, type Running } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'

const activate = join(import.meta.dirname, 'fixtures', 'activate.ts')
const SYSTEMD = '/usr/bin/systemd-socket-activate'

function folder(config: Record<string, unknown> = {}): string {
  const path = tempDir('binds')
  writeFileSync(join(path, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(path, 'web.ts'), 'export default (request, response) => response.end(request.url)\n')
  configure(path, config)
  return path
}

function configure(path: string, web: Record<string, unknown>): void {
  const config = { bus: { url: 'amqp://127.0.0.1:1/' }, web: { entry: './web.ts', ...web } }
  writeFileSync(join(path, 'omnibus.config.ts'), `export default ${JSON.stringify(config)}\n`)
}

const serve = (cwd: string, ...args: string[]): Running =>
  run(process.execPath, [program, 'serve', ...args], { cwd, label: 'serve', env: { OMNIBUS_LOG: 'json' } })

/** `where` is a port or the path of a unix socket. */
async function ask(where: number | string): Promise<string> {
  const place = typeof where === 'number' ? { host: '127.0.0.1', port: where } : { socketPath: where }
  const [response] = (await once(request({ ...place, path: `/${where}`, agent: false }).end(), 'response')) as [NodeJS.ReadableStream]
  return text(response)
}

async function stopped(master: Running): Promise<void> {
  master.signal('SIGTERM')
  expect(await master.exit()).toEqual({ code: 0, signal: null })
}

describe('several addresses', () => {
  test('are all served by the one app, and the path of a unix socket goes with the master', async () => {
    const [one, two] = (await freePorts(2)) as [number, number]
    const cwd = folder({ bind: [`127.0.0.1:${one}`, `127.0.0.1:${two}`, 'unix:web.sock'], workers: 2 })
    const path = join(cwd, 'web.sock')
    await using master = serve(cwd)
    await master.line(`Listening on http://127.0.0.1:${one}, http://127.0.0.1:${two}, unix:${path}`)
    for (const where of [one, two, path]) expect(await ask(where)).toBe(`/${where}`)
    await stopped(master)
    expect(existsSync(path)).toBe(false)
    for (const where of [one, two]) await expect(ask(where)).rejects.toThrow('ECONNREFUSED')
  })

  test('can be given as flags', async () => {
    const [one, two] = (await freePorts(2)) as [number, number]
    await using master = serve(folder(), '-b', `127.0.0.1:${one}`, '-b', `127.0.0.1:${two}`)
    await master.line('Listening on')
    for (const where of [one, two]) expect(await ask(where)).toBe(`/${where}`)
  })

  test('change with a reload: new ones are bound before anything else, and one that cannot be had refuses it', async () => {
    const [one, two] = (await freePorts(2)) as [number, number]
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    const cwd = folder({ bind: `127.0.0.1:${one}` })
    await using master = serve(cwd)
    await master.line('Listening on')
    configure(cwd, { bind: [`127.0.0.1:${one}`, `127.0.0.1:${port}`] })
    master.signal('SIGHUP')
    await master.line(new RegExp(`Reload refused.*web\\.bind: expected a free address, got 127\\.0\\.0\\.1:${port}`))
    expect(await ask(one)).toBe(`/${one}`)
    configure(cwd, { bind: `127.0.0.1:${two}` })
    master.signal('SIGHUP')
    await master.line(`Listening on http://127.0.0.1:${two} from now on`)
    expect(await ask(two)).toBe(`/${two}`)
    await master.line('"Reloaded"')
    await expect(ask(one)).rejects.toThrow('ECONNREFUSED')
    taken.close()
  })
})

describe('a unix socket', () => {
  test('that a killed master has left is replaced, one that is served is refused', async () => {
    const cwd = folder({ bind: 'unix:web.sock' })
    const path = join(cwd, 'web.sock')
    await using first = serve(cwd)
    await first.line('Listening on')
    first.signal('SIGKILL')
    await first.exit()
    await waitFor(() => first.processes().length === 0, { what: 'its children to be gone' })
    expect(statSync(path).isSocket()).toBe(true)
    await using second = serve(cwd)
    await second.line('Listening on')
    await using third = serve(cwd)
    expect((await third.exit()).code).toBe(78)
    expect(third.lines.join('\n')).toContain(`web.bind: expected a free address, got unix:${path}, which another program listens on`)
    expect(await ask(path)).toBe(`/${path}`)
  })

  test('never takes the place of a file', async () => {
    const cwd = folder({ bind: 'unix:package.json' })
    await using master = serve(cwd)
    expect((await master.exit()).code).toBe(78)
    expect(master.lines.join('\n')).toMatch(/web\.bind: expected a path where nothing but a socket is, got unix:.*package\.json/)
    expect(existsSync(join(cwd, 'package.json'))).toBe(true)
  })
})

test('of two masters that start on one port at the same time, one serves and the other says why not', async () => {
  const port = await freePort()
  await using one = serve(folder({ bind: `127.0.0.1:${port}` }))
  await using two = serve(folder({ bind: `127.0.0.1:${port}` }))
  const loser = await Promise.race([one.exit().then(() => one), two.exit().then(() => two)])
  expect((await loser.exit()).code).toBe(78)
  expect(loser.lines.join('\n')).toContain(`got 127.0.0.1:${port}, which another program listens on`)
  expect(loser.lines.join('\n')).not.toContain('is ready')
  await (loser === one ? two : one).line('Listening on')
  expect(await ask(port)).toBe(`/${port}`)
})

describe('inherited sockets', () => {
  test('are served as fd://N, and one that is none is refused', async () => {
    const port = await freePort()
    const own = ['sh', '-c', 'unset LISTEN_PID; exec "$@"', 'sh', process.execPath, program, 'serve']
    await using master = run(process.execPath, [activate, String(port), ...own, '-b', 'fd://3'], { cwd: folder(), label: 'activate' })
    await master.line('Listening on fd://3')
    expect(await ask(port)).toBe(`/${port}`)
    await stopped(master)
    await using wrong = serve(folder(), '-b', 'fd://99')
    expect((await wrong.exit()).code).toBe(78)
    expect(wrong.lines.join('\n')).toContain('web.bind: expected a descriptor that this process was started with, got fd://99')
  })

  test('that systemd would hand over take the place of the configured address', async () => {
    const [port, configured] = (await freePorts(2)) as [number, number]
    await using master = run(process.execPath, [activate, String(port), process.execPath, program, 'serve'], {
      cwd: folder({ bind: `127.0.0.1:${configured}` }),
      label: 'activate',
    })
    await master.line('Listening on fd://3')
    expect(await ask(port)).toBe(`/${port}`)
    await expect(ask(configured)).rejects.toThrow('ECONNREFUSED')
    await stopped(master)
  })

  test.runIf(existsSync(SYSTEMD))('come from systemd itself, whose first connection waits for the app', async () => {
    const port = await freePort()
    const args = ['-l', `127.0.0.1:${port}`, '-E', 'PATH', process.execPath, program, 'serve']
    await using master = run(SYSTEMD, args, { cwd: folder(), label: 'systemd' })
    await master.line('Listening on')
    expect(await ask(port)).toBe(`/${port}`)
    await stopped(master)
  })

  test('that are meant for another process are left alone, which is said', async () => {
    const port = await freePort()
    await using master = run(process.execPath, [program, 'serve', '-b', `127.0.0.1:${port}`], {
      cwd: folder(),
      label: 'serve',
      env: { LISTEN_FDS: '1', LISTEN_PID: '1' },
    })
    await master.line('LISTEN_FDS is for process 1, not for this one')
    await master.line(`Listening on http://127.0.0.1:${port}`)
  })
})
