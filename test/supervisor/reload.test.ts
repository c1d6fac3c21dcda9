/** Reload and scaling, with real processes. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { UnitReport } from '../../src/supervisor/status.ts'
import { waitFor } from '../support/wait.ts'
import { house, type House } from './house.ts'

const consumers = { video: { entry: './video.ts', instances: 2 } }
const pids = (units: readonly UnitReport[]): Record<string, number | undefined> =>
  Object.fromEntries(units.map(({ label, pid }) => [label, pid]))

async function reloaded(h: House): Promise<string[]> {
  const from = h.master.lines.length
  h.master.signal('SIGHUP')
  await h.said('"Reloaded"', { from })
  return h.messages().slice(from)
}

async function refused(h: House): Promise<string> {
  const from = h.master.lines.length
  h.master.signal('SIGHUP')
  return h.said('Reload refused', { from })
}

describe('a reload', () => {
  test('replaces every process but the broker, one by one, new before old', async () => {
    await using h = await house({ config: { bus: {}, consumers } })
    const before = pids((await h.ready()).units)
    const said = await reloaded(h)
    const { units, generation } = await h.ready()
    const after = pids(units)
    expect(generation).toBe(1)
    expect(after['broker']).toBe(before['broker'])
    for (const label of ['video.1', 'video.2', 'web.1', 'web.2']) expect(after[label], label).not.toBe(before[label])
    const index = (message: string): number => said.indexOf(message)
    // Nothing old is touched before one new process of every unit is ready.
    const canariesReady = Math.max(index('video.1: video.1 is ready'), index('web.1: web.1 is ready'))
    expect(said.findIndex((message) => /^(video|web).*: stop reload/.test(message))).toBeGreaterThan(canariesReady)
    // A consumer does not consume before that either.
    expect(index('video.1: activated')).toBeGreaterThan(canariesReady)
    expect(index('web.2: web.2 is ready')).toBeLessThan(index('web.2: web.2 stops'))
    expect(h.master.processes()).toHaveLength(6)
  })

  test('takes the new config: more workers, one consumer less, another one more', async () => {
    await using h = await house({ config: { consumers } })
    await h.ready()
    h.configure({ consumers: { audio: { entry: './video.ts' } }, web: { entry: './web.ts', workers: 3, bind: `127.0.0.1:${h.port}` } })
    await reloaded(h)
    expect((await h.ready()).units.map(({ label }) => label).toSorted()).toEqual(['audio.1', 'web.1', 'web.2', 'web.3'])
    expect(h.messages()).toContain('video.2: stop reload true')
    h.configure({ web: { entry: './web.ts', workers: 1, bind: `127.0.0.1:${h.port}` } })
    await reloaded(h)
    expect((await h.ready()).units.map(({ label }) => label)).toEqual(['web.1'])
  })

  test('says what needs a restart, and leaves it as it was', async () => {
    await using h = await house()
    await h.ready()
    h.configure({ pidFile: 'omnibus.pid' })
    const said = await reloaded(h)
    expect(said).toContain('master: Changed, but needs a restart to count: pidFile')
  })

  test('runs the new onStarting before the old onExit', async () => {
    const source = (name: string): string =>
      `export default { bus: { url: 'amqp://h/' }, hooks: { onStarting() {} }, web: { entry: './web.ts', bind: '127.0.0.1:0' }, probes: PROBES, log: { level: 'debug' } } // ${name}`
    await using h = await house()
    await h.ready()
    const probes = JSON.stringify(new URL(h.probes).host)
    writeFileSync(join(h.folder, 'omnibus.config.ts'), source('one').replace('PROBES', probes))
    await reloaded(h)
    const first = pids((await h.ready()).units)['hooks']
    const said = await reloaded(h)
    expect(pids((await h.ready()).units)['hooks']).not.toBe(first)
    expect(said.indexOf('hooks: hooks is ready')).toBeLessThan(said.indexOf('hooks: stop reload true'))
  })

  test('that comes during another one follows it', async () => {
    await using h = await house()
    await h.ready()
    h.master.signal('SIGHUP')
    await h.said('"Reloading"')
    h.master.signal('SIGHUP')
    await h.said(/it follows when what is under way is done/)
    await waitFor(async () => (await h.status()).generation === 2, { what: 'the second reload' })
  })
})

describe('a reload', () => {
  // One after the other over the same processes: each leaves them as they were.
  let h: House
  beforeAll(async () => void (h = await house({ config: { consumers } })))
  afterAll(async () => h[Symbol.asyncDispose]())

  test.each([
    ['a config that cannot be used', () => h.configure({ web: { entry: './gone.ts' } }), /web\.entry: expected a module's path/],
    ['a config with a syntax error', () => writeFileSync(join(h.folder, 'omnibus.config.ts'), 'export default {'), /SyntaxError/],
    ['a worker that crashes', () => h.behave({ web: 'exit' }), /web\.1 ended with code 3/],
    ['a consumer that says why', () => h.behave({ video: 'fail' }), /video\.1 failed: it cannot work/],
    [
      'a consumer that cannot connect',
      () => {
        h.behave({ video: 'connecting' })
        h.configure({ consumers: { video: { ...consumers.video, startTimeoutMs: 1_000 } } })
      },
      /video\.1 was not ready after 1.* \(its bus is not connected\)/,
    ],
    [
      'a config without its web part',
      () => writeFileSync(join(h.folder, 'omnibus.config.ts'), 'export default { consumers: { video: { entry: "./video.ts" } } }'),
      /no longer has a `web` part/,
    ],
  ])('is refused for %s, and all goes on', async (_, spoil, reason) => {
    const was = await h.ready()
    const from = h.master.lines.length
    spoil()
    expect(await refused(h)).toMatch(reason)
    const { units, lastReloadRefusal, generation, ready } = await h.status()
    expect({ ready, generation, pids: pids(units) }).toEqual({ ready: true, generation: was.generation, pids: pids(was.units) })
    expect(lastReloadRefusal?.reason).toMatch(reason)
    expect(
      h
        .messages()
        .slice(from)
        .some((message) => /^(video|web)\.2: stop/.test(message)),
    ).toBe(false)
    await waitFor(() => h.master.processes().length === 5, { what: 'what was tried to be gone' })
    // The code on disk does not work, so a new worker would not start.
    h.master.signal('SIGTTIN')
    await h.said(/the last reload was refused/, { from })
    // Mended, it succeeds, and all is as before.
    h.behave({})
    h.configure({ consumers })
    await reloaded(h)
    expect((await h.ready()).lastReloadRefusal).toBeUndefined()
  })
})

describe('TTIN and TTOU', () => {
  test('add and take away a web worker, never the last', async () => {
    await using h = await house()
    await h.ready()
    h.master.signal('SIGTTIN')
    await waitFor(async () => (await h.status()).units.filter(({ state }) => state === 'ready').length === 3, { what: 'three workers' })
    for (const left of [2, 1]) {
      h.master.signal('SIGTTOU')
      await waitFor(async () => (await h.status()).units.length === left, { what: `${left} workers` })
    }
    h.master.signal('SIGTTOU')
    await h.said(/one is the least/)
    // The master and one worker.
    await waitFor(() => h.master.processes().length === 2, { what: 'the others to be gone' })
    expect(h.messages()).toContain('web.3: stop reload true')
  })

  test('USR1 and WINCH are heard and harmless', async () => {
    await using h = await house()
    await h.ready()
    h.master.signal('SIGUSR1')
    await h.said(/SIGUSR1 has nothing to do/)
    h.master.signal('SIGWINCH')
    await h.said(/SIGWINCH lets the workers rest only where a second master serves/)
    expect((await h.status()).ready).toBe(true)
  })
})
