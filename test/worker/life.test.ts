import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { bindSocket, fixture, LISTEN_FD, startChild, startWeb, webConfig } from './child.ts'
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
  test('INT and HUP are left to the master', async () => {
    using socket = bindSocket()
    await using child = startWeb(slow, socket)
    await child.message('ready')
    for (const signal of ['SIGINT', 'SIGHUP'] as const) process.kill(child.pid, signal)
    const beats = child.beats()
    await waitFor(() => child.beats() > beats + 2, { what: 'life after the signals' })
    expect(await ask(socket.url)).toBe('version 1')
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

describe('the compile cache', () => {
  const hello = fixture('web/fastify-instance.ts')
  const own = `omnibus-compile-cache-${process.geteuid?.()}`
  const filesIn = (folder: string): number =>
    existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length : 0
  const envOf = (TMPDIR: string): Record<string, string> => ({ TMPDIR, NODE_COMPILE_CACHE: '' })

  test("is on the disk while the child runs, in a folder that is the user's alone", async () => {
    using socket = bindSocket()
    const tmp = tempDir('tmp')
    await using child = startWeb(hello, socket, { env: envOf(tmp) })
    await child.message('ready')
    await waitFor(() => filesIn(join(tmp, own)) > 0, { what: 'the cache' })
    expect(statSync(join(tmp, own)).mode & 0o777).toBe(0o700)
    expect(readdirSync(tmp)).toEqual([own])
    expect(child.process.exitCode).toBeNull()
  })

  test('lies where NODE_COMPILE_CACHE says', async () => {
    using socket = bindSocket()
    const [tmp, cache] = [tempDir('tmp'), tempDir('cache')]
    await using child = startWeb(hello, socket, { env: { ...envOf(tmp), NODE_COMPILE_CACHE: cache } })
    await child.message('ready')
    await waitFor(() => filesIn(cache) > 0, { what: 'the cache' })
    expect(readdirSync(tmp)).toEqual([])
  })

  test.each([
    [
      'may be written by others',
      (path: string) => (mkdirSync(path), chmodSync(path, 0o777)),
      /mode 700, got a folder of user \d+ with mode 777/,
    ],
    ['is a link', (path: string) => symlinkSync(tempDir('elsewhere'), path), /got a file or link/],
    // Only root can make what is another's.
    ...(process.geteuid?.() === 0
      ? ([
          ["is another user's", (path: string) => (mkdirSync(path, 0o700), chownSync(path, 12_345, 0)), /got a folder of user 12345/],
        ] as const)
      : []),
  ] as const)('is not used where its folder %s', async (_, plant, reason) => {
    using socket = bindSocket()
    const tmp = tempDir('tmp')
    plant(join(tmp, own))
    await using child = startChild('web', { env: envOf(tmp), listenFd: socket.fd })
    const config = { ...webConfig(hello, socket.bind), logLevel: 'debug' as const }
    child.send({ type: 'start', unit: 'web.1', config, listenFds: [LISTEN_FD] })
    await child.message('ready')
    await child.stop()
    expect(filesIn(join(tmp, own))).toBe(0)
    expect(child.output()).toMatch(/"level":20,.*no compile cache: expected/)
    expect(child.output()).toMatch(reason)
  })
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
