/** Configs that cannot work: every problem is told with its place, nothing is left behind, and a reload by one changes nothing. */
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { followMaster } from '../../src/supervisor/control-client.ts'
import type { ControlReply } from '../../src/supervisor/control-protocol.ts'
import { announcedMasters } from '../../src/supervisor/announcement.ts'
import { program } from '../support/built.ts'
import { freePort } from '../support/ports.ts'
import { run, type Running, runToEnd } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'

/** What the file holds, and each problem that must be told. */
type Broken = readonly [source: string, ...problems: RegExp[]]

const exported = (config: string, ...problems: RegExp[]): Broken => [`export default ${config}\n`, ...problems]

const broken: Readonly<Record<string, Broken>> = {
  'an unknown key': exported('{ wbe: {} }', /wbe: expected a known option; did you mean "web"\?/),
  'an unknown key inside': exported('{ web: { entry: "./web.ts", wrokers: 2 } }', /web\.wrokers: .*did you mean "workers"\?/),
  "Gunicorn's names": exported(
    '{ web: { entry: "./web.ts", max_requests: 9 }, hooks: { pre_fork() {} } }',
    /web\.max_requests: .*did you mean "maxRequests"\?/,
    /hooks\.pre_fork: .*did you mean "preFork"\?/,
  ),
  'a text for a number': exported('{ gracefulTimeoutMs: "5s" }', /gracefulTimeoutMs: expected a whole number from 1, got "5s"/),
  'a negative time': exported('{ hookTimeoutMs: -1 }', /hookTimeoutMs: expected a whole number from 1, got -1/),
  'a fraction': exported('{ web: { entry: "./web.ts", workers: 1.5 } }', /web\.workers: expected a whole number from 1 to 1024, got 1\.5/),
  'no worker': exported('{ web: { entry: "./web.ts", workers: 0 } }', /web\.workers: .*got 0/),
  'too many workers': exported('{ web: { entry: "./web.ts", workers: 5000 } }', /web\.workers: .*got 5000/),
  'not a number': exported('{ web: { entry: "./web.ts", workers: NaN } }', /web\.workers: .*got null|web\.workers: .*got NaN/),
  'web without an entry': exported('{ web: {} }', /web\.entry: expected a module's path, got nothing/),
  'an entry that is none': exported('{ web: { entry: 3 } }', /web\.entry: expected a path, got 3/),
  'a missing entry': exported('{ web: { entry: "./gone.ts" } }', /web\.entry: expected a module's path, got .*gone\.ts, which is no file/),
  'a folder as the entry': exported('{ web: { entry: "./folder" } }', /web\.entry: .*folder, which is no file/),
  'a missing consumer': exported('{ consumers: { mail: { entry: "./gone.ts" } } }', /consumers\.mail\.entry: .*which is no file/),
  'no object for web': exported('{ web: "./web.ts" }', /web: expected an object, got ".\/web\.ts"/),
  'a list of consumers': exported('{ consumers: [{ entry: "./web.ts" }] }', /consumers: expected an object/),
  'a wrong kind': exported(
    '{ consumers: { mail: { entry: "./web.ts", kind: "fork" } } }',
    /consumers\.mail\.kind: expected one of process, thread/,
  ),
  'a reserved name': exported('{ consumers: { web: { entry: "./web.ts" } } }', /consumers\.web: expected a name other than web/),
  'a name that is none': exported('{ consumers: { "a b": { entry: "./web.ts" } } }', /consumers\.a b: expected a name of letters/),
  'one name twice': exported(
    '{ consumers: { mail: { entry: "./web.ts" } }, exec: { mail: { command: ["/bin/true"] } } }',
    /exec\.mail: expected a name that no consumer has/,
  ),
  'an address without a port': exported('{ web: { entry: "./web.ts", bind: "localhost" } }', /web\.bind.*: expected .*got "localhost"/),
  'a port that is none': exported('{ web: { entry: "./web.ts", bind: ":70000" } }', /web\.bind.*got ":70000"/),
  'a list with a wrong address': exported('{ web: { entry: "./web.ts", bind: [":1", "x"] } }', /web\.bind: .*got "x"/),
  'wrong probes': exported('{ probes: 9000 }', /probes: expected host:port.*got 9000/),
  'a bus URL without a scheme': exported('{ bus: { url: "guest:canary@h" } }', /bus\.url: expected a URL such as .*got .*\*\*\*@h/),
  'a bus URL of no transport': exported(
    '{ bus: { url: "reddis://h" } }',
    /bus\.url: scheme: expected one of .*did you mean "redis:"\?.*got "reddis:"/,
  ),
  'a bus URL with wrong options': exported(
    '{ bus: { url: ["redis://h/0?lease_seconds=x&polling_intervall=1"] } }',
    /bus\.url: lease_seconds: expected a number from 1, got "x"/,
    /polling_intervall: .*did you mean "polling_interval"\?/,
  ),
  'a bus that listens nowhere': exported('{ bus: { listen: true } }', /bus\.listen: expected host:port.*got true/),
  'a hook that is no function': exported('{ hooks: { onStarting: "./hook.ts" } }', /hooks\.onStarting: expected a function, got/),
  'a hook that does not exist': exported('{ hooks: { onBoot() {} } }', /hooks\.onBoot: expected one of onStarting/),
  'a wrong policy': exported('{ onPermanentFailure: "ignore" }', /onPermanentFailure: expected one of exit, degrade/),
  'a wrong level': exported('{ log: { level: "verbose" } }', /log\.level: expected one of debug, info/),
  'a restart without crashes': exported('{ restart: { maxCrashes: 0 } }', /restart\.maxCrashes: expected a whole number from 1/),
  'a command as a text': exported(
    '{ exec: { py: { command: "python3 x.py" } } }',
    /exec\.py\.command: expected a program and its arguments/,
  ),
  'a program that is missing': exported(
    '{ preStart: [{ command: ["./migrate"] }] }',
    /preStart\[0\]\.command: expected a program that is there/,
  ),
  'several problems': exported(
    '{ wbe: 1, probes: "x", restart: { minMs: 0 }, consumers: { a: {} } }',
    /wbe: /,
    /probes: /,
    /restart\.minMs: /,
    /consumers\.a\.entry: /,
  ),
  'an empty file': ['', /default export: expected a config/],
  'another export': ['export const config = {}\n', /default export: expected a config.*got nothing/],
  'a list': exported('[]', /default export: expected a config/),
  'a function that throws': exported(
    '() => { throw new Error("no luck") }',
    /expected a function that returns a config, got Error: no luck \(line 1\)/,
  ),
  'a promise that rejects': exported('Promise.reject(new Error("no database"))', /the file: .*no database/),
  'a file that throws': ['export {}\nthrow new TypeError("amqp://u:canary@h")\n', /TypeError: .*amqp:\/\/u:\*\*\*@h \(line 2\)/],
  'a syntax error': ['export default {\n  web: \n}\n', /the file: expected a module that can be imported, got SyntaxError/],
  'a missing import': ['import "./gone.ts"\nexport default {}\n', /the file: .*Cannot find module .*gone\.ts/],
  'a missing package': ['import "no-such-package"\nexport default {}\n', /the file: .*no-such-package/],
  'a missing name': ['import { nothing } from "node:fs"\nexport default {}\n', /the file: .*nothing/],
}

/** Those that no process but a child of the master's survives. */
const fatal: Readonly<Record<string, Broken>> = {
  'an exit': ['process.exit(0)\n', /config\w* ended by itself/],
  'a wait for nothing': ['export default await new Promise(() => {})\n', /waits for something that can never happen/],
  'a crash': ['process.kill(process.pid, "SIGKILL")\n', /config\w* was killed by SIGKILL/],
}

function folder(): string {
  const path = tempDir('broken')
  mkdirSync(join(path, 'folder'))
  writeFileSync(join(path, 'package.json'), '{ "type": "module" }\n')
  writeFileSync(join(path, 'web.ts'), "export default (request, response) => response.end('hello')\n")
  return path
}

describe('each tells all that is wrong with it', () => {
  const fileOf = (name: string): string => `${name.replaceAll(/\W/g, '-')}.config.ts`
  let outcomes: Record<string, { message: string; problems: number }>

  // By Node itself, whose errors are others than the test runner's.
  beforeAll(async () => {
    const root = folder()
    for (const [name, [source]] of Object.entries(broken)) writeFileSync(join(root, fileOf(name)), source)
    const script = join(import.meta.dirname, 'fixtures', 'load-configs.ts')
    const { output } = await runToEnd(process.execPath, [script, root, ...Object.keys(broken).map(fileOf)], { label: 'load' })
    outcomes = JSON.parse(output.split('\n').at(-1) ?? '') as typeof outcomes
  })

  test.each(Object.entries(broken))('%s', (name, [, ...expected]) => {
    const { message, problems } = outcomes[fileOf(name)] ?? { message: 'it was not loaded', problems: 0 }
    expect(problems, message).toBeGreaterThanOrEqual(expected.length)
    for (const problem of expected) expect(message).toMatch(problem)
    expect(message).toContain(fileOf(name))
    expect(message).not.toContain('canary')
  })
})

describe('the master', () => {
  const config = (rest: string): string => `export default { bus: { url: 'amqp://127.0.0.1:1' }, ${rest} }\n`
  const serve = (source: string, cwd = folder()): Running => {
    writeFileSync(join(cwd, 'omnibus.config.ts'), source)
    return run(process.execPath, [program, 'serve'], { cwd, label: 'omnibus' })
  }
  const isOpen = async (port: number): Promise<boolean> => {
    const socket = connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return true
    } catch {
      return false
    } finally {
      socket.destroy()
    }
  }

  test.each(Object.entries({ ...fatal, 'several problems': broken['several problems'] as Broken }))(
    'ends with 78 and leaves nothing: %s',
    async (_, [source, ...problems]) => {
      await using server = serve(source)
      expect(await server.exit()).toEqual({ code: 78, signal: null })
      expect(server.processes()).toEqual([])
      for (const problem of problems) expect(server.lines.join('\n')).toMatch(problem)
    },
  )

  test('addresses and files that cannot be had end it with 78, and free what it had taken already', async () => {
    const [port, taken] = [await freePort(), await freePort()]
    await using _first = await ready(serve(config(`web: { entry: './web.ts', bind: '127.0.0.1:${taken}' }`)))
    for (const [rest, problem] of [
      [`web: { entry: './web.ts', bind: ['127.0.0.1:${port}', '127.0.0.1:${taken}'] }`, /web\.bind.*: expected a free address/],
      [`web: { entry: './web.ts', bind: ['127.0.0.1:${port}', '192.0.2.1:80'] }`, /web\.bind.*: expected an address of this machine/],
      [
        `web: { entry: './web.ts', bind: ['127.0.0.1:${port}', 'unix:gone/web.sock'] }`,
        /web\.bind.*: expected a path in a folder that exists/,
      ],
      [`web: { entry: './web.ts', bind: '127.0.0.1:${port}' }, probes: '127.0.0.1:${taken}'`, /probes: expected a free address/],
      [`web: { entry: './web.ts', bind: '127.0.0.1:${port}' }, pidFile: './gone/x.pid'`, /pidFile: expected a file for the pid/],
      [`web: { entry: './web.ts', bind: '127.0.0.1:${port}' }, bus: { data: './web.ts' }`, /web\.ts/],
    ] as const) {
      await using server = serve(config(rest))
      expect(await server.exit(), rest).toEqual({ code: 78, signal: null })
      expect(server.lines.join('\n')).toMatch(problem)
      expect(server.processes()).toEqual([])
      expect(await isOpen(port)).toBe(false)
    }
  })

  test('goes on as before when it is reloaded with any of them', async () => {
    const port = await freePort()
    const good = config(`web: { entry: './web.ts', bind: '127.0.0.1:${port}' }`)
    await using server = await ready(serve(good))
    const [{ socket } = { socket: '' }] = announcedMasters(server.cwd)
    const ask = async (verb: 'reload' | 'status'): Promise<ControlReply | undefined> =>
      (await followMaster(socket, { verb }).next()).value ?? undefined
    const reload = (): Promise<ControlReply | undefined> => ask('reload')
    const pids = async (): Promise<unknown> => {
      const reply = await ask('status')
      return reply?.ok && reply.status?.units.map(({ label, pid, state }) => ({ label, pid, state }))
    }
    const before = await pids()
    const kinds = ['several problems', 'a missing entry', 'a function that throws', 'a syntax error']
    const cases = [...kinds.map((kind) => broken[kind] as Broken), ...Object.values(fatal)]
    cases.push([config(`web: { entry: './web.ts', bind: ['127.0.0.1:${port}', '192.0.2.1:80'] }`), /web\.bind/])
    cases.push([
      config(`web: { entry: './web.ts' }, hookTimeoutMs: 100, hooks: { onStarting: () => new Promise(() => {}) }`),
      /onStarting did not return/,
    ])
    for (const [source, ...problems] of cases) {
      writeFileSync(join(server.cwd, 'omnibus.config.ts'), source)
      const reply = await reload()
      expect(reply, source).toMatchObject({ ok: false })
      for (const problem of problems) expect(reply?.ok === false && reply.error).toMatch(problem)
    }
    expect(await pids()).toEqual(before)
    expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe('hello')
    writeFileSync(join(server.cwd, 'omnibus.config.ts'), good)
    expect(await reload()).toMatchObject({ ok: true })
  })

  async function ready(server: Running): Promise<Running> {
    await server.line('Listening on')
    return server
  }
})
