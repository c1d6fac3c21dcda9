/** Commands in other languages as units, and those that run before all else. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, queue } from 'omnibus'
import { describe, expect, test } from 'vitest'
import type { Status } from '../../src/supervisor/status.ts'
import { program } from '../support/built.ts'
import { have } from '../support/packages.ts'
import { freePort, freePorts } from '../support/ports.ts'
import { run, type Running, runToEnd } from '../support/process.ts'
import { isAlive } from '../support/processes.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { command, config, Driver, oldFirst, running } from './mind/driver.ts'

const worker = join(import.meta.dirname, 'fixtures', 'kombu_worker.py')

function configure(folder: string, given: object): void {
  writeFileSync(join(folder, 'omnibus.config.mjs'), `export default ${JSON.stringify({ bus: { url: 'amqp://127.0.0.1:1' }, ...given })}\n`)
}

function serve(given: object): Running {
  const cwd = tempDir('exec')
  configure(cwd, given)
  return run(process.execPath, [program, 'serve'], { cwd, label: 'omnibus' })
}

const ask = (server: Running, verb: string): Promise<{ code: number | null; output: string }> =>
  runToEnd(process.execPath, [program, ...verb.split(' ')], { cwd: server.cwd, label: verb })
const statusOf = async (server: Running): Promise<Status> => JSON.parse((await ask(server, 'status --json')).output) as Status
const pidOf = (line: string): number => (JSON.parse(line) as { pid: number }).pid

describe.runIf(have('python3-kombu'))('a Kombu worker on the built-in broker', () => {
  test('gets its broker, is restarted when it dies, replaced by a reload, and stopped in order; nothing is lost', async () => {
    const port = await freePort()
    const exec = { python: { command: ['/usr/bin/python3', '-B', worker], ready: { line: 'consuming' } } }
    await using server = serve({ bus: { listen: `127.0.0.1:${port}` }, exec, restart: { minMs: 20 } })
    const first = pidOf(await server.line(/"unit":"python.1","msg":"consuming"/))
    await server.line('"msg":"python.1 is ready"')

    const connection = connect(`amqp://guest:guest@127.0.0.1:${port}`)
    const [questions, answers] = [queue('questions', { type: 'classic' }), queue('answers', { type: 'classic' })]
    const answered = new Map<unknown, number>()
    await connection.consume(answers, async (delivery) => {
      const { answer, pid } = delivery.payload as { answer: unknown; pid: number }
      answered.set(answer, pid)
      await delivery.ack()
    })
    const answer = async (question: number): Promise<number> => {
      await connection.publish(questions, question)
      return waitFor(() => answered.get(question), { what: `the answer to ${question}` })
    }
    expect(await answer(1)).toBe(first)

    const killed = server.lines.length
    process.kill(first, 'SIGKILL')
    await server.line(/python.1 was killed by SIGKILL; it starts again/)
    const second = pidOf(await server.line('"msg":"consuming"', { from: killed }))
    expect(await answer(2)).toBe(second)

    expect(await ask(server, 'reload')).toMatchObject({ code: 0 })
    expect(isAlive(second)).toBe(false)
    await server.line(/"unit":"python.1","msg":"stopping"/)
    expect(await answer(3)).not.toBe(second)
    expect((await statusOf(server)).units.find(({ unit }) => unit === 'python')).toMatchObject({
      label: 'python.1',
      state: 'ready',
      restarts: 1,
      memoryMb: expect.any(Number),
    })

    await connection.close()
    server.signal('SIGTERM')
    expect(await server.exit()).toEqual({ code: 0, signal: null })
    expect(server.processes()).toEqual([])
  })
})

const shell = (script: string): readonly string[] => ['/bin/sh', '-c', script]
const ready = '"msg":"Ready"'

describe('a command', () => {
  test('is ready when its port or URL answers, and its successor waits for it to be gone', async () => {
    const [http, tcp] = (await freePorts(2)) as [number, number]
    const listen = (port: number): readonly string[] => [
      process.execPath,
      '-e',
      `require('node:http').createServer((_, answer) => answer.end('up')).listen(${port}, '127.0.0.1'); console.log('began'); process.on('SIGTERM', () => setTimeout(() => process.exit(), 200))`,
    ]
    await using server = serve({
      exec: {
        http: { command: listen(http), ready: { url: `http://127.0.0.1:${http}/` } },
        tcp: { command: listen(tcp), ready: { port: tcp } },
      },
    })
    await server.line(ready)
    expect(await (await fetch(`http://127.0.0.1:${tcp}`)).text()).toBe('up')
    expect(await ask(server, 'reload')).toMatchObject({ code: 0 })
    expect(server.lines.filter((line) => line.includes('EADDRINUSE'))).toEqual([])
    expect(server.lines.filter((line) => line.includes('"msg":"began"'))).toHaveLength(4)
  })

  test('that does not end in its own time is killed with all it started, and the stop goes on', async () => {
    const script = "trap '' TERM; sleep 1000 & echo child $!; wait; wait"
    await using server = serve({ exec: { stubborn: { command: shell(script), gracefulTimeoutMs: 200 } } })
    const [, child] = /child (\d+)/.exec(await server.line(/child \d+/)) ?? []
    await server.line(ready)
    server.signal('SIGTERM')
    expect(await server.exit()).toEqual({ code: 75, signal: null })
    await server.line(/stubborn.1 did not stop in time; it is killed/)
    expect(isAlive(Number(child))).toBe(false)
  })

  test('that ends again and again is given up with 69', async () => {
    await using server = serve({ exec: { brief: { command: shell('echo no luck; exit 3') } }, restart: { minMs: 10, maxCrashes: 2 } })
    expect(await server.exit()).toEqual({ code: 69, signal: null })
    await server.line(/brief.1 ended with code 3; given up after 2 crashes/)
  })

  test('has its output passed on by line, with its label, however long a line is', async () => {
    const script = `printf 'half '; sleep 0.1; echo line; echo 'amqp://u:canary@h' >&2; head -c 100000 /dev/zero | tr '\\0' x; exec sleep 1000`
    await using server = serve({ exec: { talker: { command: shell(script), env: { A: 'b' } } } })
    await server.line(/"unit":"talker.1","msg":"half line"/)
    await server.line(/"unit":"talker.1","msg":"amqp:\/\/u:\*\*\*@h"/)
    await waitFor(
      () =>
        server.lines
          .join('')
          .match(/x{1000,}/g)
          ?.join('').length ===
        100_000 - (100_000 % (16 * 1024)),
      {
        what: 'the long line in pieces',
      },
    )
    expect(server.lines.join('')).not.toContain('canary')
  })
})

test('with old-first nobody takes a place before it is empty, also when it is wanted again at once', () => {
  const driver = running(config({ hooks: [], exec: { cron: oldFirst } }))
  driver.request({ verb: 'scale', unit: 'cron', size: 1 })
  driver.request({ verb: 'scale', unit: 'cron', size: 2 })
  expect(driver.labelled('cron.2').map(({ heard }) => heard.at(-1)?.type)).toEqual(['stop'])
  driver.settle()
  expect(driver.labelled('cron.2').map(({ isReady }) => isReady)).toEqual([true])
  driver.request({ verb: 'restart', unit: 'cron' })
  expect(driver.labelled('cron.1').map(({ heard }) => heard.at(-1)?.type)).toEqual(['stop'])
  expect(driver.child('cron.2').heard.at(-1)?.type).toBe('start')
  driver.settle()
  expect(driver.replies.get(3)).toEqual({ ok: true, message: 'Replaced: cron.1, cron.2' })
})

describe('preStart', () => {
  const steps = { ...command, timeoutMs: 0 }

  test('each runs when the one before is done, after the broker and before all else, and again in a reload only if it says so', () => {
    const driver = new Driver(
      config({
        consumers: {},
        hooks: [],
        preStart: [
          { ...steps, onReload: false },
          { ...steps, onReload: true },
        ],
      }),
    )
    driver.settle()
    driver.prepared()
    expect(driver.labelled('preStart.1')).toHaveLength(0)
    driver.behave(driver.child('broker'))
    expect(driver.labelled('preStart.1')).toHaveLength(1)
    driver.behave(driver.child('preStart.1'))
    expect(driver.labelled('web.1')).toHaveLength(0)
    driver.behave(driver.child('preStart.2'))
    driver.settle()
    expect(driver.labelled('web.1')).toHaveLength(1)
    driver.signal('SIGHUP')
    driver.behave(driver.child('config'))
    expect(driver.labelled('preStart.1')).toHaveLength(0)
    // However long it takes.
    for (let minutes = 0; minutes < 10; minutes++) {
      for (const child of driver.children.values()) driver.beat(child)
      driver.pass(5_000)
    }
    expect(driver.labelled('preStart.2')).toHaveLength(1)
    driver.settle()
    expect(driver.mind.status()).toMatchObject({ generation: 1, reloading: false })
  })

  test('one that is killed in a reload refuses it', () => {
    const driver = running(config({ preStart: [{ ...steps, onReload: true }] }))
    driver.signal('SIGHUP')
    driver.behave(driver.child('config'))
    driver.exit(driver.child('preStart.1'), null, 'SIGKILL')
    driver.settle()
    expect(driver.mind.status()).toMatchObject({ generation: 0, reloading: false, ready: true })
    expect(driver.mind.status().lastReloadRefusal?.reason).toBe('preStart.1 was killed by SIGKILL')
  })

  test('a failure refuses the start with its output and code, and so a reload', async () => {
    const exec = { sleeper: { command: ['sleep', '1000'] } }
    await using refused = serve({ exec, preStart: [{ command: shell('echo no such table; exit 4') }] })
    expect(await refused.exit()).toEqual({ code: 69, signal: null })
    await refused.line(/Not started: preStart.1 ended with code 4:\\nno such table/)
    expect(refused.lines.join('\n')).not.toContain('sleeper.1 is ready')

    await using server = serve({
      exec,
      preStart: [{ command: shell('cat schema 2>/dev/null || echo first; test ! -e broken'), onReload: true }],
    })
    await server.line(/"unit":"preStart.1","msg":"first"/)
    await server.line(ready)
    writeFileSync(join(server.cwd, 'broken'), '')
    writeFileSync(join(server.cwd, 'schema'), 'column is gone\n')
    expect(await ask(server, 'reload')).toMatchObject({
      code: 1,
      output: expect.stringMatching(/preStart.1 ended with code 1:\s+column is gone/),
    })
    expect(server.lines.filter((line) => line.includes('"msg":"sleeper.1 is ready"'))).toHaveLength(1)
  })
})
