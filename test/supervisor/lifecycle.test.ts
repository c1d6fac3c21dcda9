/** Start, crash, hang and stop, with real processes. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { program } from '../support/built.ts'
import { runToEnd } from '../support/process.ts'
import { isAlive } from '../support/processes.ts'
import { waitFor } from '../support/wait.ts'
import { childrenOf, commandLine, house } from './house.ts'

const consumers = { video: { entry: './video.ts', instances: 2 } }
const pidOf = (message: string): number => Number(/(\d+)$/.exec(message)?.[1])
const at = (messages: readonly string[], pattern: RegExp): number => {
  const found = messages.findIndex((message) => pattern.test(message))
  expect(found, `${pattern} among ${messages.join('\n')}`).toBeGreaterThanOrEqual(0)
  return found
}

describe('start', () => {
  test('goes stage by stage, and the probes tell when all is ready', async () => {
    await using h = await house({ config: { bus: {}, consumers } })
    const status = await h.ready()
    expect(status.units.map(({ label, state }) => `${label} ${state}`)).toEqual(
      ['broker', 'video.1', 'video.2', 'web.1', 'web.2'].map((label) => `${label} ready`),
    )
    const said = h.messages()
    expect(at(said, /^broker: broker is ready/)).toBeLessThan(at(said, /^video\.1: start/))
    expect(at(said, /^video\.2: video\.2 is ready/)).toBeLessThan(at(said, /^web\.1: start fd 4/))
    expect(said.filter((message) => message.endsWith(': activated'))).toHaveLength(2)
    expect(at(said, /Listening on http:\/\/127\.0\.0\.1:/)).toBeGreaterThan(at(said, /^web\.2: web\.2 is ready/))
    expect((await fetch(`${h.probes}/readyz`)).status).toBe(200)
    expect((await fetch(`${h.probes}/livez`)).status).toBe(200)
    expect((await fetch(`${h.probes}/startupz`)).status).toBe(200)
    expect((await fetch(`${h.probes}/nothing`)).status).toBe(404)
    expect((await fetch(`${h.probes}/status`, { method: 'POST' })).status).toBe(405)
  })

  test('a consumer whose broker is away keeps readiness red, and nothing else back', async () => {
    await using h = await house({ config: { consumers }, behaviours: { video: 'connecting' } })
    await h.said(/Listening on/)
    const ready = await fetch(`${h.probes}/readyz`)
    expect(ready.status).toBe(503)
    // It has started all the same.
    expect((await fetch(`${h.probes}/startupz`)).status).toBe(200)
    expect(await ready.json()).toEqual({ ready: false, degraded: false, reasons: ['video.1 is connecting', 'video.2 is connecting'] })
  })

  test('a unit that crashes is started again', async () => {
    await using h = await house({ behaviours: { 'web.2': 'exit-once' } })
    const { units } = await h.ready()
    expect(units.map(({ restarts }) => restarts)).toEqual([0, 1])
    expect(h.messages().join('\n')).toMatch(/web\.2: web\.2 ended with code 4; it starts again in \d+ ms/)
  })

  test('a unit that cannot start is given up, and all ends with 69 and the reason', async () => {
    await using h = await house({ behaviours: { 'web.1': 'fail' } })
    expect(await h.master.exit()).toEqual({ code: 69, signal: null })
    const said = h.messages()
    expect(said.filter((message) => message === 'web.1: start fd 4')).toHaveLength(3)
    expect(said.join('\n')).toContain('web.1 failed: it cannot work; given up after 3 crashes within 60 s')
    expect(said).toContain('web.2: stop stop true')
    expect(h.master.processes()).toEqual([])
  })

  test("with 'degrade' the rest goes on without it", async () => {
    await using h = await house({ config: { onPermanentFailure: 'degrade' }, behaviours: { 'web.1': 'exit' } })
    await h.said(/Listening on/)
    const probe = async (): Promise<unknown> => {
      const answer = await fetch(`${h.probes}/readyz`)
      return { status: answer.status, ...((await answer.json()) as object) }
    }
    expect((await h.status()).units).toMatchObject([
      { label: 'web.1', state: 'failed', failure: 'ended with code 3' },
      { label: 'web.2', state: 'ready' },
    ])
    // One worker is enough, unless more are asked for.
    expect(await probe()).toEqual({ status: 200, ready: true, degraded: true, reasons: ['web.1 is failed'] })
    const control = await runToEnd(process.execPath, [program, 'status', '--config', h.folder], { label: 'status' })
    expect(control.output).toContain('degraded: web.1 is failed')
    h.behave({})
    const web = { entry: './web.ts', workers: 2, bind: `127.0.0.1:${h.port}`, minReady: 2 }
    h.configure({ onPermanentFailure: 'degrade', web })
    h.master.signal('SIGHUP')
    await h.said('The config has changed: web.minReady 1 → 2')
    await h.ready()
    h.behave({ web: 'exit' })
    const [worker] = (await h.status()).units
    process.kill(worker?.pid ?? 0, 'SIGKILL')
    await h.said(/web\.1 ended with code 3; given up/, { from: h.master.lines.findIndex((line) => line.includes('Reloaded')) })
    expect(await probe()).toEqual({ status: 503, ready: false, degraded: false, reasons: ['web.1 is failed'] })
    expect((await fetch(`${h.probes}/livez`)).status).toBe(200)
  })

  test('a unit that never gets ready is killed, and says so', async () => {
    const web = { entry: './web.ts', startTimeoutMs: 300, bind: '127.0.0.1:0' }
    await using h = await house({ config: { web }, behaviours: { 'web.1': 'never-ready' } })
    expect((await h.master.exit()).code).toBe(69)
    expect(h.messages().join('\n')).toMatch(/web\.1 was not ready after 0\.\d s and was killed; given up/)
  })
})

describe('hang', () => {
  test('a worker whose event loop hangs is diagnosed, killed with all it started, and replaced', async () => {
    const web = { entry: './web.ts', bind: '127.0.0.1:0', heartbeatTimeoutMs: 1_000 }
    await using h = await house({ config: { web }, behaviours: { 'web.1': 'spin grandchild' } })
    const grandchild = pidOf(await h.said(/grandchild \d+/))
    h.behave({})
    await h.said(/web\.1 was silent for .*its event loop hangs/)
    await h.said(/running without a pause \(\d+ % of a CPU\)/)
    await waitFor(() => !isAlive(grandchild), { what: 'the grandchild to be gone' })
    const { units } = await h.ready()
    expect(units[0]?.restarts).toBe(1)
  })
})

describe('stop', () => {
  test('TERM stops in order and ends with 0', async () => {
    await using h = await house({
      config: { bus: {}, consumers, pidFile: 'omnibus.pid' },
      behaviours: { web: 'slow-stop', video: 'slow-stop' },
    })
    await h.ready()
    expect(Number(readFileSync(join(h.folder, 'omnibus.pid'), 'utf8'))).toBe(h.master.pid)
    h.master.signal('SIGTERM')
    expect(await h.master.exit()).toEqual({ code: 0, signal: null })
    const said = h.messages()
    const webGone = at(said, /^web\.2: web\.2 ended by itself/)
    expect(webGone).toBeLessThan(at(said, /^video\.1: stop stop true/))
    expect(at(said, /^video\.2: video\.2 ended by itself/)).toBeLessThan(at(said, /^broker: stop stop true/))
    expect(h.master.processes()).toEqual([])
    expect(existsSync(join(h.folder, 'omnibus.pid'))).toBe(false)
  })

  test('what is left when the budget is over is killed and named, and the code is 75', async () => {
    await using h = await house({ config: { consumers, gracefulTimeoutMs: 800 }, behaviours: { 'web.2': 'ignore-stop' } })
    await h.ready()
    h.master.signal('SIGTERM')
    expect((await h.master.exit()).code).toBe(75)
    const said = h.messages().join('\n')
    expect(said).toContain('web.2 did not stop in time, 2 in flight; it is killed')
    expect(said).toContain('Stopped, but cut off: web.2')
    // The consumers had their share all the same.
    expect(said).toContain('video.1: stop stop true')
  })

  test('a child that says it cut work off makes the code 75', async () => {
    await using h = await house({ behaviours: { 'web.1': 'cut-off' } })
    await h.ready()
    h.master.signal('SIGTERM')
    expect((await h.master.exit()).code).toBe(75)
  })

  test('a second TERM shortens the stop, after which what is left is killed', async () => {
    await using h = await house({ behaviours: { web: 'ignore-stop' } })
    await h.ready()
    h.master.signal('SIGTERM')
    await waitFor(() => h.messages().filter((message) => /^web.*: stop stop/.test(message)).length === 2, {
      what: 'both workers to be asked',
    })
    await waitFor(
      () => {
        // One TERM may be lost in the time that counts as one Ctrl-C under npm.
        h.master.signal('SIGTERM')
        return h.messages().some((message) => message.includes('Asked again to stop'))
      },
      { what: 'the second TERM to count', everyMs: 100 },
    )
    expect((await h.master.exit()).code).toBe(75)
    expect(h.master.processes()).toEqual([])
  })

  test('INT, sent to the whole process group as a terminal does, stops the children in order as well', async () => {
    await using h = await house({ config: { consumers } })
    await h.ready()
    h.master.signalGroup('SIGINT')
    expect((await h.master.exit()).code).toBe(0)
    const said = h.messages()
    expect(at(said, /^web\.1: stop quick true/)).toBeLessThan(at(said, /^video\.1: stop quick true/))
  })

  test('TERM before anything is ready ends at once', async () => {
    await using h = await house({ config: { consumers }, behaviours: { video: 'never-ready' } })
    await h.said(/^.*video\.1.*start/)
    const startup = await fetch(`${h.probes}/startupz`)
    expect({ status: startup.status, body: await startup.json() }).toEqual({ status: 503, body: { phase: 'starting' } })
    h.master.signal('SIGTERM')
    expect((await h.master.exit()).code).toBe(0)
    expect(h.master.processes()).toEqual([])
  })

  test('kill -9 of the master leaves nothing, though a child spins and another has a child of its own', async () => {
    await using h = await house({
      config: { consumers },
      behaviours: { 'web.1': 'spin', 'video.1': 'grandchild', 'web.2': 'spin grandchild' },
    })
    await h.ready()
    await waitFor(() => h.messages().filter((message) => /grandchild \d/.test(message)).length === 2, { what: 'the grandchildren' })
    const all = h.master.processes()
    // Master, guard, two consumers, two workers, two grandchildren.
    expect(all.length).toBeGreaterThanOrEqual(7)
    h.master.signal('SIGKILL')
    await h.master.exit()
    await waitFor(() => h.master.processes().length === 0, { what: 'every process to be gone', deadlineMs: 1_000, everyMs: 10 })
  })

  test('a guard that dies is replaced, and the new one knows everybody', async () => {
    await using h = await house({ behaviours: { 'web.1': 'spin' } })
    await h.ready()
    const guardPid = (): number | undefined => childrenOf(h.master.pid).find((pid) => commandLine(pid).includes('omnibus-guard'))
    const first = await waitFor(guardPid, { what: 'the guard' })
    process.kill(first, 'SIGKILL')
    await h.said(/guard .* is gone, and starts again/)
    await waitFor(() => (guardPid() ?? first) !== first, { what: 'another guard' })
    h.master.signal('SIGKILL')
    await waitFor(() => h.master.processes().length === 0, { what: 'every process to be gone', deadlineMs: 1_000, everyMs: 10 })
  })
})

describe('what cannot be had', () => {
  test('a port in use', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    await using h = await house({ config: { web: { entry: './web.ts', bind: `127.0.0.1:${port}` } } })
    expect((await h.master.exit()).code).toBe(78)
    expect(h.messages().join('\n')).toContain(`web.bind: expected a free address, got 127.0.0.1:${port}, which another program listens on`)
    other.close()
  })

  test('a pid file with a living process in it', async () => {
    await using h = await house({ config: { pidFile: '/proc/1/../../tmp/never-there/omnibus.pid' } })
    expect((await h.master.exit()).code).toBe(78)
    await using other = await house({ config: { pidFile: 'omnibus.pid' }, env: {} })
    await other.ready()
    await using second = await house({ config: { pidFile: join(other.folder, 'omnibus.pid') } })
    expect((await second.master.exit()).code).toBe(78)
    expect(second.messages().join('\n')).toContain(`which holds the pid of a living process: ${other.master.pid}`)
    expect((await other.status()).ready).toBe(true)
  })

  test('a pid file whose process is gone is taken over', async () => {
    await using first = await house({ config: { pidFile: 'omnibus.pid' } })
    await first.ready()
    first.master.signal('SIGKILL')
    await first.master.exit()
    const file = join(first.folder, 'omnibus.pid')
    expect(existsSync(file)).toBe(true)
    await using second = await house({ config: { pidFile: file } })
    await second.ready()
    expect(Number(readFileSync(file, 'utf8'))).toBe(second.master.pid)
  })

  // All the others: broken-configs.test.ts
  test.each([
    ['a throwing config', 'throw new Error("no luck with amqp://u:canary-password@h/")', /no luck with amqp:\/\/u:\*\*\*@h/],
    ['nothing to run', 'export default {}', /nothing to run/],
  ])('%s in the config', async (_, source, expected) => {
    await using h = await house({ source })
    expect((await h.master.exit()).code).toBe(78)
    expect(h.messages().join('\n')).toMatch(expected)
    expect(h.master.lines.join('\n')).not.toContain('canary-password')
  })

  test('no secret of the bus URL is ever written', async () => {
    await using h = await house({ config: { consumers }, behaviours: { 'video.1': 'exit-once' } })
    await h.ready()
    writeFileSync(join(h.folder, 'omnibus.config.ts'), 'export default { bus: { url: "amqp//u:canary-password@h" } }')
    h.master.signal('SIGHUP')
    await h.said(/Reload refused/)
    const status = await (await fetch(`${h.probes}/status`)).text()
    h.master.signal('SIGTERM')
    await h.master.exit()
    expect(`${h.master.lines.join('\n')}${status}`).not.toContain('canary-password')
  })
})
