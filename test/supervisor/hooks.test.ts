/** Hooks: what the master waits for, and each of them in the real process tree. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { HOOKS } from '../../src/config/hooks.ts'
import { program } from '../support/built.ts'
import { freePort } from '../support/ports.ts'
import { run, type Running } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { config, Driver, type FakeChild, running } from './mind/driver.ts'

describe('preFork', () => {
  const hooked = config({ hooks: ['preFork'], consumers: {} })
  const host = (driver: Driver): FakeChild => driver.child('config')
  /** Up to the moment when the two web workers wait. */
  const waiting = (): Driver => {
    const driver = new Driver(hooked)
    driver.behave(host(driver))
    driver.prepared()
    driver.behave(driver.child('broker'))
    driver.behave(host(driver))
    return driver
  }

  test('a process is started when its hook has ended, not before, and not for that of another', () => {
    const driver = waiting()
    expect(host(driver).hooks.map(({ call }) => call)).toEqual([
      { name: 'preFork', given: { unit: 'web', label: 'web.1' } },
      { name: 'preFork', given: { unit: 'web', label: 'web.2' } },
    ])
    expect(driver.mind.status().units.map(({ state }) => state)).toEqual(['ready', 'ready', 'starting', 'starting'])
    driver.hooked(host(driver))
    expect(driver.labelled('web.1')).toHaveLength(1)
    expect(driver.labelled('web.2')).toHaveLength(0)
  })

  test('a hook that is not heard of again, or whose host ends, holds nothing up for good', () => {
    const driver = waiting()
    driver.pass(config().hookTimeoutMs - 1)
    expect(driver.labelled('web.1')).toHaveLength(0)
    driver.pass(1_001)
    expect(driver.labelled('web.1')).toHaveLength(1)
    expect(driver.logs).toContain('hooks.preFork of web.1 was not heard of in time; it starts all the same')
    const other = waiting()
    other.exit(host(other), 1)
    expect(other.labelled('web.2')).toHaveLength(1)
  })

  test('a stop forgets what was not started yet', () => {
    const driver = waiting()
    driver.signal('SIGTERM')
    driver.settle()
    expect(driver.exitCode).toBe(0)
    expect(driver.labelled('web.1')).toHaveLength(0)
  })

  test('in a reload it is the new host that is asked, and a refused one leaves nothing behind', () => {
    const driver = running(hooked)
    const [old] = driver.labelled('config')
    driver.signal('SIGHUP')
    const fresh = driver.child('config')
    driver.behave(fresh)
    driver.behave(fresh)
    expect(old?.hooks).toEqual([])
    expect(fresh.hooks).toHaveLength(1)
    // The new host dies before it has answered: the reload is over, and its worker is not wanted any more.
    driver.exit(fresh, 1)
    driver.settle()
    expect(driver.labelled('web.1')).toHaveLength(1)
    expect(driver.mind.status()).toMatchObject({ ready: true, reloading: false, generation: 0 })
  })
})

test('the number of processes is told at the start, when scaled, and when a unit is gone', () => {
  const told = (driver: Driver): unknown[] =>
    driver.commands.flatMap((command) => {
      const message = command.type === 'send' ? command.message : undefined
      return message?.type === 'hook' ? [message.call.given] : []
    })
  const driver = running(config({ hooks: ['nworkersChanged'] }))
  driver.signal('SIGTTIN')
  driver.file = config({ hooks: ['nworkersChanged'], consumers: {} })
  driver.settle()
  driver.signal('SIGHUP')
  driver.settle()
  expect(told(driver)).toEqual([
    { unit: 'video', size: 2 },
    { unit: 'web', size: 2 },
    { unit: 'web', size: 3, before: 2 },
    { unit: 'web', size: 2, before: 3 },
    { unit: 'video', size: 0, before: 2 },
  ])
})

describe('in the real process tree', () => {
  const names = Object.keys(HOOKS)

  interface Call {
    readonly hook: string
    readonly by: number
    readonly given: Readonly<Record<string, unknown>>
  }

  interface Hooked extends AsyncDisposable {
    readonly server: Running
    readonly folder: string
    readonly url: string
    readonly calls: (hook?: string) => Call[]
    readonly called: (hook: string, given?: Readonly<Record<string, unknown>>) => Promise<Call>
  }

  /** Each hook writes a line of its own file with what it was given; `more` is source that goes over it, `web` into the web part. */
  async function serve(more = '', web = ''): Promise<Hooked> {
    const folder = tempDir('hooks')
    const port = await freePort()
    const file = join(folder, 'calls')
    writeFileSync(file, '')
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    writeFileSync(
      join(folder, 'web.ts'),
      `export default (request, response) => {
         if (request.url === '/hang') for (;;);
         response.writeHead(request.url === '/teapot' ? 418 : 200).end(String(process.pid))
       }`,
    )
    writeFileSync(
      join(folder, 'omnibus.config.ts'),
      `import { appendFileSync } from 'node:fs'
       const hook = (hook) => ({ config, request, ...given }) => {
         if (config.web.entry === undefined) throw new Error('no config')
         const line = { hook, by: process.pid, given: { ...given, ...(request && { url: request.url }) } }
         appendFileSync(${JSON.stringify(file)}, JSON.stringify(line) + '\\n')
       }
       const all = Object.fromEntries(${JSON.stringify(names)}.map((name) => [name, hook(name)]))
       export default {
         bus: { url: 'amqp://127.0.0.1:1' },
         web: { entry: './web.ts', bind: '127.0.0.1:${port}', workers: 1, heartbeatTimeoutMs: 1000, ${web} },
         restart: { minMs: 20 },
         hookTimeoutMs: 1000,
         hooks: { ...all, ${more} },
       }`,
    )
    const server = run(process.execPath, [program, 'serve'], { cwd: folder, label: 'omnibus' })
    const calls = (hook?: string): Call[] =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Call)
        .filter((call) => hook === undefined || call.hook === hook)
    return {
      server,
      folder,
      url: `http://127.0.0.1:${port}`,
      calls,
      called: (hook, given = {}) =>
        waitFor(() => calls(hook).findLast((call) => Object.entries(given).every(([key, value]) => call.given[key] === value)), {
          what: `${hook} ${JSON.stringify(given)}`,
        }).catch((error: unknown) => {
          throw new Error(`${String(error)}\n${server.lines.join('\n')}\n${readFileSync(file, 'utf8')}`)
        }),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  }

  test('each runs where its subject is, in order, with what it is about', async () => {
    await using hooked = await serve()
    const { server, url, calls, called } = hooked
    await server.line('Listening on')
    await called('onWorkerReady')
    expect(calls().map(({ hook }) => hook)).toEqual([
      'onStarting',
      'whenReady',
      'nworkersChanged',
      'preFork',
      'postFork',
      'postWorkerInit',
      'onWorkerReady',
    ])
    const [{ by: host } = { by: 0 }] = calls('onStarting')
    const { by: worker, given: about } = await called('postFork')
    expect(about).toEqual({ unit: 'web', label: 'web.1', pid: worker })
    expect(calls('preFork')).toEqual([{ hook: 'preFork', by: host, given: { unit: 'web', label: 'web.1' } }])
    expect(calls('onWorkerReady')).toEqual([{ hook: 'onWorkerReady', by: host, given: { ...about, ms: expect.any(Number) } }])
    expect(calls('nworkersChanged')).toEqual([{ hook: 'nworkersChanged', by: host, given: { unit: 'web', size: 1 } }])

    expect((await fetch(`${url}/teapot`)).status).toBe(418)
    const { given, by } = await called('postRequest')
    expect(by).toBe(worker)
    expect(given).toEqual({ ...about, url: '/teapot', status: 418, durationMs: expect.any(Number), completed: true })
    expect(calls('preRequest')).toEqual([{ hook: 'preRequest', by: worker, given: { ...about, url: '/teapot' } }])

    // One that hangs can only be told of by others; ABRT to one that works runs its own hook.
    fetch(`${url}/hang`).catch(() => {})
    expect((await called('onHang', { pid: worker })).given['silentMs']).toBeGreaterThanOrEqual(1000)
    expect(await called('childExit', { pid: worker })).toMatchObject({ by: host, given: { code: null, signal: 'SIGKILL' } })
    const second = (await waitFor(() => calls('onWorkerReady')[1], { what: 'the second worker' })).given['pid'] as number
    process.kill(second, 'SIGABRT')
    expect((await called('workerAbort')).by).toBe(second)
    expect((await called('workerExit', { code: 70 })).by).toBe(second)
    await called('childExit', { pid: second, code: 70, reason: 'failed: aborted by SIGABRT' })
    await waitFor(() => calls('onWorkerReady')[2], { what: 'the third worker' })

    // A reload by a config with another number of workers; then one whose app does not load.
    const file = join(hooked.folder, 'omnibus.config.ts')
    writeFileSync(file, readFileSync(file, 'utf8').replace('workers: 1', 'workers: 2'))
    server.signal('SIGHUP')
    await server.line('"msg":"Reloaded"')
    const { by: newHost } = await called('onReload')
    expect(newHost).not.toBe(host)
    expect((await called('onExit', { reason: 'reload' })).by).toBe(host)
    expect(await called('nworkersChanged', { size: 2 })).toMatchObject({ by: newHost, given: { before: 1 } })
    await called('onWorkerReady', { label: 'web.2' })
    writeFileSync(join(hooked.folder, 'web.ts'), "throw new Error('no luck')")
    server.signal('SIGHUP')
    expect((await called('onReloadRefused')).given['reason']).toMatch(/web\.1 failed: web\.entry .*no luck/)

    const before = calls().length
    server.signal('SIGINT')
    expect(await server.exit()).toEqual({ code: 0, signal: null })
    const after = calls()
      .slice(before)
      .map(({ hook }) => hook)
    expect(after.filter((hook) => hook === 'workerInt')).toHaveLength(2)
    expect(after.filter((hook) => hook === 'workerExit')).toHaveLength(2)
    expect(after.at(-1)).toBe('onExit')
    expect(after.lastIndexOf('childExit')).toBeGreaterThan(after.lastIndexOf('workerExit'))
    expect(calls('whenReady')).toHaveLength(1)
  })

  test('of those that throw or never return only what a start is made of decides', async () => {
    await using hooked = await serve(`
      preFork() { throw new Error('pre-fork on purpose') },
      onWorkerReady: () => new Promise(() => {}),
      preRequest() { throw new Error('pre-request on purpose') },
      postRequest: async () => { throw new Error('post-request on purpose') },
      workerExit: () => new Promise(() => {}),
    `)
    const { server, url } = hooked
    await server.line('Listening on')
    await server.line(/"level":50.*"unit":"hooks".*"msg":"hooks.preFork failed: pre-fork on purpose; given process web.1"/)
    await server.line(/hooks.onWorkerReady did not return within 1000 ms \(hookTimeoutMs\); given process web.1, ms \d+/)
    expect((await fetch(`${url}/x?token=canary`)).status).toBe(200)
    await server.line('hooks.preRequest failed: pre-request on purpose; given process web.1, request GET /x"')
    await server.line(/hooks.postRequest failed: post-request on purpose; given process web.1, request GET \/x, status 200/)

    // A worker that must not start like that is one that does not start.
    const file = join(hooked.folder, 'omnibus.config.ts')
    writeFileSync(
      file,
      readFileSync(file, 'utf8').replace('preFork() {', "postWorkerInit() { throw new Error('init on purpose') }, preFork() {"),
    )
    server.signal('SIGHUP')
    await server.line(/Reload refused.*web.1 failed: hooks.postWorkerInit failed: init on purpose; given process web.1/)
    expect((await fetch(url)).status).toBe(200)
    server.signal('SIGTERM')
    await server.line(/"unit":"web.1".*hooks.workerExit did not return within/)
    expect(await server.exit()).toEqual({ code: 0, signal: null })
  })

  test('with threads, those of the process run in their host, the others in each thread', async () => {
    await using hooked = await serve('', "kind: 'thread', workers: 2")
    const { server, url, calls, called } = hooked
    await server.line('Listening on')
    const { given: host } = await called('onWorkerReady')
    const { label, pid } = host
    expect(label).toBe('web.1')
    const given = (hook: string): unknown[] => calls(hook).map((call) => call.given)
    expect(given('postFork')).toEqual([{ unit: 'web', label, pid }])
    const threads = ['web.1.1', 'web.1.2'].map((thread) => ({ unit: 'web', label: thread, pid }))
    expect(given('postWorkerInit').toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))).toEqual(threads)
    for (let n = 0; n < 4; n++) expect((await fetch(url, { headers: { connection: 'close' } })).status).toBe(200)
    await waitFor(() => calls('postRequest').length === 4, { what: 'a hook for each request' })
    expect(new Set(calls('preRequest').map((call) => call.given['label']))).toEqual(new Set(['web.1.1', 'web.1.2']))
    server.signal('SIGINT')
    expect(await server.exit()).toEqual({ code: 0, signal: null })
    expect(given('workerInt')).toEqual([{ unit: 'web', label, pid }])
    expect(given('workerExit')).toEqual([{ unit: 'web', label, pid, code: 0 }])
  })
})
