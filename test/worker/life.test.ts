import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { bindSocket, fixture, startChild, startWeb, webConfig } from './child.ts'
import { ask } from './load.ts'

const slow = fixture('web/slow.ts')

test('beats come from the event loop: a blocked one falls silent', async () => {
  using socket = bindSocket()
  await using child = startWeb(slow, socket)
  await child.message('ready')
  const before = child.beats()
  await waitFor(() => child.beats() > before + 2, { what: 'beats of a healthy child' })
  ask(`${socket.url}/block`).catch(() => {})
  let last = { beats: child.beats(), at: performance.now() }
  await waitFor(
    () => {
      if (child.beats() !== last.beats) last = { beats: child.beats(), at: performance.now() }
      // Three beats that did not come.
      return performance.now() - last.at > 1_500
    },
    { what: 'silence' },
  )
})

test('an entry that throws later ends the child, with the stack in its log', async () => {
  using socket = bindSocket()
  await using child = startWeb(slow, socket)
  await child.message('ready')
  ask(`${socket.url}/crash`).catch(() => {})
  expect(await child.exit()).toEqual({ code: 70, signal: null })
  expect(child.output()).toMatch(/crashed on purpose.*slow\.ts:\d+/)
})

test('so does a promise that nobody catches', async () => {
  using socket = bindSocket()
  await using child = startWeb(slow, socket)
  await child.message('ready')
  ask(`${socket.url}/reject`).catch(() => {})
  expect(await child.exit()).toEqual({ code: 70, signal: null })
  expect(child.output()).toMatch(/slow\.ts:\d+.*unhandledRejection: rejected on purpose/)
})

test('when the master is gone, the child and all it started end at once', async () => {
  using socket = bindSocket()
  await using child = startWeb(fixture('web/family.mjs'), socket)
  await child.message('ready')
  await waitFor(() => child.processes().length === 2, { what: 'the child of the child' })
  child.process.disconnect()
  await waitFor(() => child.processes().length === 0, { what: 'both to be gone' })
  expect(await child.exit()).toEqual({ code: null, signal: 'SIGKILL' })
})

describe('signals', () => {
  test('INT, HUP and USR1 are left to the master', async () => {
    using socket = bindSocket()
    await using child = startWeb(slow, socket)
    await child.message('ready')
    for (const signal of ['SIGINT', 'SIGHUP', 'SIGUSR1'] as const) process.kill(child.pid, signal)
    const beats = child.beats()
    await waitFor(() => child.beats() > beats + 2, { what: 'life after the signals' })
    expect(await ask(socket.url)).toBe('version 1')
    expect(child.output()).not.toMatch(/Debugger listening/)
  })

  test('TERM is a graceful stop', async () => {
    using socket = bindSocket()
    await using child = startWeb(slow, socket)
    await child.message('ready')
    const answer = ask(`${socket.url}/slow?ms=1500`)
    await waitFor(() => child.status()?.inFlight === 1, { what: 'the request to arrive' })
    process.kill(child.pid, 'SIGTERM')
    expect(await answer).toBe('version 1')
    expect(await child.exit()).toEqual({ code: 0, signal: null })
  })
})

test('a child that is still starting stops at once', async () => {
  using socket = bindSocket()
  await using child = startWeb(fixture('web/slow-start.mjs'), socket)
  await waitFor(() => child.output().includes('starting'), { what: 'the entry to run' })
  expect(await child.stop({ deadlineMs: 60_000 })).toEqual({ code: 0, signal: null })
  expect(child.messages.some(({ type }) => type === 'ready' || type === 'failed')).toBe(false)
})

test('the compile cache is on the disk while the child runs', async () => {
  using socket = bindSocket()
  const cache = tempDir('cache')
  await using child = startWeb(fixture('web/fastify-instance.ts'), socket, { env: { NODE_COMPILE_CACHE: cache } })
  await child.message('ready')
  await waitFor(() => readdirSync(cache, { recursive: true, withFileTypes: true }).some((entry) => entry.isFile()), { what: 'the cache' })
  expect(child.process.exitCode).toBeNull()
})

test('a child that was never started stops at once', async () => {
  await using child = startChild('web')
  expect(await child.stop()).toEqual({ code: 0, signal: null })
})

test('a start that lacks what the role needs is refused', async () => {
  await using child = startChild('web')
  child.send({ type: 'start', unit: 'web.1', config: webConfig(slow) })
  expect((await child.message('failed')).message).toMatch(/listenFds/)
  expect(await child.exit()).toEqual({ code: 70, signal: null })
})
