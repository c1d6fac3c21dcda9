/** The config: what is read, what is refused, and what comes out. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DEFAULT_FORMAT } from '../../src/config/access-log.ts'
import { loadConfig } from '../../src/config/load.ts'
import { resolveConfig, type ResolveContext } from '../../src/config/resolve.ts'
import type { ResolvedConfig } from '../../src/config/types.ts'
import { ConfigError } from '../../src/core/errors.ts'
import { redactDeep, redactText, redactUrl } from '../../src/core/redact.ts'
import { busUrlOf, clientUrlOf } from '../../src/supervisor/protocol.ts'
import { tempDir } from '../support/run-folder.ts'

const root = tempDir('config')
mkdirSync(join(root, 'sub'))
for (const name of ['web.ts', 'sub/web.ts', 'video.ts']) writeFileSync(join(root, name), 'export {}\n')
const web = { entry: './web.ts' }

const resolve = (input: unknown, context: Partial<ResolveContext> = {}): ResolvedConfig => resolveConfig(input, { root, ...context })
function problems(input: unknown, context: Partial<ResolveContext> = {}): string[] {
  try {
    resolve(input, context)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ path, expected, got }) => `${path}: ${expected}; ${got}`)
    throw error
  }
  return []
}

describe('defaults', () => {
  test('an empty config has nothing to run, and the built-in broker in .omnibus', () => {
    const { bus, consumers, hooks, web: none, gracefulTimeoutMs, onPermanentFailure } = resolve({})
    expect({ bus, consumers, hooks, none, gracefulTimeoutMs, onPermanentFailure }).toEqual({
      bus: { urls: [], builtin: true, data: join(root, '.omnibus') },
      consumers: {},
      hooks: [],
      none: undefined,
      gracefulTimeoutMs: 25_000,
      onPermanentFailure: 'exit',
    })
  })

  test('a web part and a consumer need no more than their entries', () => {
    const restart = { minMs: 100, maxMs: 30_000, maxCrashes: 5, windowMs: 60_000 }
    const limits = { minReady: 1, maxLifetimeMs: 0, maxLifetimeJitterMs: 0, maxMemoryMb: 0 }
    const resolved = resolve({ web, consumers: { video: { entry: './video.ts' } } })
    expect(resolved.web).toEqual({
      entry: join(root, 'web.ts'),
      bind: ['127.0.0.1:8000'],
      backlog: 2048,
      workers: 1,
      kind: 'process',
      threadHeapMb: 0,
      heartbeatTimeoutMs: 10_000,
      startTimeoutMs: 30_000,
      keepAliveTimeoutMs: 5_000,
      headersTimeoutMs: 60_000,
      requestTimeoutMs: 300_000,
      accessLog: '',
      forwardedAllowIps: [],
      maxRequests: 0,
      maxRequestsJitter: 0,
      ...limits,
      restart,
    })
    expect(resolved.consumers['video']).toEqual({
      entry: join(root, 'video.ts'),
      instances: 1,
      kind: 'process',
      threadHeapMb: 0,
      heartbeatTimeoutMs: 30_000,
      startTimeoutMs: 30_000,
      ...limits,
      restart,
    })
  })

  test('PORT and WEB_CONCURRENCY count where the file and the flags say nothing', () => {
    const env = { PORT: '9000', WEB_CONCURRENCY: '3' }
    expect(resolve({ web }, { env }).web).toMatchObject({ bind: ['0.0.0.0:9000'], workers: 3 })
    expect(resolve({ web: { ...web, bind: ':7000', workers: 2 } }, { env }).web).toMatchObject({ bind: ['0.0.0.0:7000'], workers: 2 })
    const overrides = { bind: '[::1]:6000', workers: 5 }
    expect(resolve({ web: { ...web, bind: ':7000' } }, { env, overrides }).web).toMatchObject({ bind: ['[::1]:6000'], workers: 5 })
    expect(problems({ web }, { env: { PORT: '8o80', WEB_CONCURRENCY: '0' } })).toEqual([
      '$PORT: a whole number from 0 to 65535; "8o80"',
      '$WEB_CONCURRENCY: a whole number from 1 to 1024; "0"',
    ])
  })

  test("restart policy: a unit's own over the general over the default", () => {
    const resolved = resolve({ web: { ...web, restart: { minMs: 5 } }, restart: { minMs: 7, maxCrashes: 9 } })
    expect(resolved.web?.restart).toEqual({ minMs: 5, maxMs: 30_000, maxCrashes: 9, windowMs: 60_000 })
    expect(resolved.restart).toMatchObject({ minMs: 7, maxCrashes: 9 })
  })

  test('paths start from the file, those of flags from where the command was typed', () => {
    const file = join(root, 'sub', 'omnibus.config.ts')
    const input = { web, pidFile: 'run/x.pid', bus: { data: 'd' }, probes: 'unix:p.sock' }
    expect(resolve(input, { file })).toMatchObject({
      root: join(root, 'sub'),
      web: { entry: join(root, 'sub/web.ts') },
      pidFile: join(root, 'sub/run/x.pid'),
      bus: { data: join(root, 'sub/d') },
      probes: `unix:${join(root, 'sub/p.sock')}`,
    })
    const overrides = { entry: 'web.ts', pidFile: 'y.pid', data: 'e', bind: 'unix:w.sock' }
    expect(resolve(input, { file, overrides })).toMatchObject({
      web: { entry: join(root, 'web.ts'), bind: [`unix:${join(root, 'w.sock')}`] },
      pidFile: join(root, 'y.pid'),
      bus: { data: join(root, 'e') },
    })
  })

  test('a bus URL, several, or an unset variable', () => {
    expect(resolve({ bus: { url: 'amqp://a,b/v' } }).bus).toMatchObject({ urls: ['amqp://a,b/v'], builtin: false })
    expect(resolve({ bus: { url: ['amqp://a', 'amqp://b'] } }).bus.urls).toEqual(['amqp://a', 'amqp://b'])
    for (const url of ['', undefined, []]) expect(resolve({ bus: { url } }).bus.builtin).toBe(true)
    expect(resolve({ bus: { url: 'amqp://a' } }, { overrides: { busUrl: 'amqp://c' } }).bus.urls).toEqual(['amqp://c'])
  })
})

test('statsd needs no more than to be there', () => {
  expect(resolve({}).statsd).toBeUndefined()
  expect(resolve({ statsd: {} }).statsd).toEqual({ host: '127.0.0.1:8125', prefix: 'gunicorn', tags: {} })
  expect(resolve({ statsd: { host: 'metrics', prefix: 'shop', tags: { env: 'x' } } }).statsd).toEqual({
    host: 'metrics:8125',
    prefix: 'shop',
    tags: { env: 'x' },
  })
  expect(resolve({ statsd: { host: '[::1]:99' } }).statsd?.host).toBe('[::1]:99')
  expect(problems({ statsd: { host: ':8125', prefix: '', tags: { env: 'a|b' }, interval: 1 } })).toEqual([
    'statsd.interval: one of host, prefix, tags; an unknown option',
    'statsd.host: host or host:port, such as 127.0.0.1:8125; ":8125"',
    'statsd.prefix: a name such as gunicorn or shop.gunicorn; ""',
    'statsd.tags.env: a text without |, comma, # and space; "a|b"',
  ])
})

describe('problems', () => {
  test('all at once, each with its place', () => {
    const input = {
      web: { entry: './gone.ts', wrokers: 2, bind: 'nowhere' },
      consumers: { web: { entry: './video.ts' }, 'a b': { entry: './video.ts' }, video: { kind: 'thred' } },
      bus: { url: 'amqp//guest:canary@h', listen: 3 },
      gracefulTimeoutMs: '5s',
      hooks: { on_starting() {}, preFork: './hook.ts' },
      log: { level: 'verbose' },
    }
    const found = problems(input)
    for (const part of [
      'web.wrokers: a known option; did you mean "workers"?; an unknown option',
      'web.bind: host:port, :port, unix:/path or fd://N, or a list of them; "nowhere"',
      `web.entry: a module's path; ${join(root, 'gone.ts')}, which is no file`,
      'consumers.web: a name other than web, hooks, broker, config, gateway, preStart; "web"',
      'consumers.a b: a name of letters, digits, _ and -, starting with a letter; "a b"',
      'consumers.video.kind: one of process, thread (did you mean "thread"?); "thred"',
      "consumers.video.entry: a module's path; nothing",
      'bus.listen: host:port, :port or unix:/path; 3',
      'gracefulTimeoutMs: a whole number from 1; "5s"',
      'hooks.on_starting: a known option; did you mean "onStarting"?; an unknown option',
      'hooks.preFork: a function; "./hook.ts"',
    ]) {
      expect(found).toContain(part)
    }
    expect(found.join('\n')).not.toContain('canary')
  })

  test('of commands', () => {
    const fine = { command: ['/bin/sh'] }
    expect(
      problems({
        consumers: { video: { entry: './video.ts' } },
        exec: {
          video: fine,
          hooks: fine,
          a: { command: 'python3 worker.py' },
          b: { command: ['no-such-program'], cwd: 'gone', stopSignal: 'SIGTRM' },
          c: { ...fine, ready: 'listening' },
          d: { ...fine, ready: { prot: 80 } },
          e: { ...fine, ready: { port: 0 } },
          f: { ...fine, ready: { url: 'ftp://h' }, env: { A: 1 } },
          g: {},
        },
        preStart: [fine, { command: ['./migrate'], timeoutMs: -1 }],
      }),
    ).toEqual([
      "exec.a.command: a program and its arguments in a list, such as ['python3', 'worker.py']; \"python3 worker.py\"",
      'exec.b.stopSignal: one of SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 (did you mean "SIGTERM"?); "SIGTRM"',
      'exec.c.ready: \'started\', or one of { port }, { url } and { line }; "listening"',
      'exec.d.ready.prot: a known option; did you mean "port"?; an unknown option',
      'exec.e.ready.port: a whole number from 1 to 65535; 0',
      'exec.f.env.A: a text; 1',
      'exec.f.ready.url: an http:// URL; "ftp://h"',
      'preStart[1].timeoutMs: a whole number from 0; -1',
      'exec.video: a name that no consumer has; "video"',
      'exec.hooks: a name other than web, hooks, broker, config, gateway, preStart; "hooks"',
      `exec.b.cwd: a folder; ${join(root, 'gone')}, which is none`,
      'exec.b.command: a program that is there and may be run; "no-such-program"',
      'exec.g.command: a program and its arguments in a list; nothing',
      'preStart[1].command: a program that is there and may be run; "./migrate"',
    ])
  })

  test.each([[undefined], [null], [[]], ['web.ts'], [3]])('%j is no config', (input) => {
    expect(problems(input)[0]).toMatch(/^default export: a config/)
  })

  test.each(['8000', 'host', 'host:', 'host:65536', '::1:80', '[::g]:80', 'a b:80', 'unix:', 'http://h:80', '', 'fd://2', 'fd://x'])(
    '%j is no address',
    (bind) => {
      expect(problems({ web: { ...web, bind } })).toEqual([
        `web.bind: host:port, :port, unix:/path or fd://N, or a list of them; ${JSON.stringify(bind)}`,
      ])
    },
  )

  test('the access log: on, off, or a format of atoms that exist', () => {
    const formatOf = (accessLog: unknown): unknown => resolve({ web: { ...web, accessLog } as never }).web?.accessLog
    expect([false, '', true, '-', '%(h)s 100%%'].map(formatOf)).toEqual(['', '', DEFAULT_FORMAT, DEFAULT_FORMAT, '%(h)s 100%%'])
    const atoms = 'atoms written %(X)s, X one of h l u t r m U q H s B b f a T D M L p {header}i {header}o {variable}e'
    expect(problems({ web: { ...web, accessLog: '%(h)s %(x)s %h %({a}z)s 100%' } })).toEqual(
      ['%(x)s', '%h', '%({a}z)s', '%'].map((part) => `web.accessLog: ${atoms}; ${JSON.stringify(part)}`),
    )
    expect(problems({ web: { ...web, accessLog: 1 } })).toEqual(['web.accessLog: true, false or a format such as "%(h)s %(r)s %(s)s"; 1'])
  })

  test.each(['10.0.0.0/33', '10.0.0', 'localhost', '::1/129', '10.0.0.0/', ''])('%j is no network of proxies', (network) => {
    expect(
      resolve({ web: { ...web, forwardedAllowIps: ['127.0.0.1', '10.0.0.0/8', '2001:db8::/32', '*'] } }).web?.forwardedAllowIps,
    ).toHaveLength(4)
    const expected = 'an IP address, a network such as 10.0.0.0/8, or *'
    expect(problems({ web: { ...web, forwardedAllowIps: ['::1', network] } })).toEqual([
      `web.forwardedAllowIps[1]: ${expected}; ${JSON.stringify(network)}`,
    ])
  })

  test('flags are named as they are typed', () => {
    expect(problems({}, { overrides: { workers: 2, bind: ':1' } })).toEqual([
      '--workers: a config with a `web` part; one without',
      '--bind: a config with a `web` part; one without',
    ])
    expect(problems({}, { overrides: { entry: 'gone.ts', workers: 0, pidFile: '' } })).toEqual([
      '--workers: a whole number from 1 to 1024; 0',
      '--pid: a path; ""',
      `ENTRY: a module's path; ${join(root, 'gone.ts')}, which is no file`,
    ])
  })
})

describe('web threads', () => {
  const threads = (more: object = {}, node = '24.21.0'): string[] => problems({ web: { ...web, kind: 'thread', ...more } }, { node })

  test.each(['24.20.0', '24.21.0', '26.6.0', '26.10.1', '27.0.0'])('are for Node %s', (node) => expect(threads({}, node)).toEqual([]))

  test.each(['24.19.9', '25.9.0', '26.5.0'])('are not for Node %s', (node) => {
    expect(threads({}, node)).toEqual([`web.kind: 'process', or Node 24.20 or 26.6 or newer for 'thread'; Node ${node}`])
  })

  test('need TCP, and a module to preload that is there', () => {
    expect(threads({ bind: 'unix:/x.sock', preload: './tables.ts' })).toEqual([
      "web.bind: host:port with web.kind 'thread', since Node moves only TCP sockets to threads; unix:/x.sock",
      `web.preload: a module's path; ${join(root, 'tables.ts')}, which is no file`,
    ])
  })
})

describe('the file', () => {
  const load = (name: string, source: string): ReturnType<typeof loadConfig> => {
    writeFileSync(join(root, name), source)
    return loadConfig({ file: name, root, env: {} })
  }

  test('an object, a promise or a function that returns either; in TypeScript or JavaScript', async () => {
    const text = '{ web: { entry: "./web.ts", workers: 4 } }'
    for (const [name, source] of [
      ['a.config.ts', `const config: object = ${text}\nexport default config`],
      ['b.config.mjs', `export default Promise.resolve(${text})`],
      ['c.config.js', `export default () => (${text})`],
      ['d.config.mts', `export default async () => (${text})`],
    ] as const) {
      expect((await load(name, source)).config.web?.workers, name).toBe(4)
    }
  })

  test('hooks are named in the config, and kept as they are', async () => {
    const { config, hooks } = await load('hooks.config.ts', 'export default { hooks: { postFork() {}, onExit() { return "gone" } } }')
    expect(config.hooks).toEqual(['onExit'])
    expect(config.workerHooks).toEqual(['postFork'])
    expect(hooks.onExit?.({ config, reason: 'stop' })).toBe('gone')
  })

  test('what it throws is told with its place and without secrets', async () => {
    const failing = load('bad.config.ts', 'export {}\nthrow new Error("amqp://u:canary@h is down")')
    await expect(failing).rejects.toThrow(/bad\.config\.ts cannot be used:\s+the file: .*Error: amqp:\/\/u:\*\*\*@h is down/)
    await expect(load('bad2.config.ts', 'export default () => { throw "no" }')).rejects.toThrow(/a function that returns a config, got no/)
    await expect(loadConfig({ file: 'none.config.ts', root })).rejects.toThrow(/an existing file/)
  })
})

test('the bus URL of the children', () => {
  expect(busUrlOf(resolve({ bus: { url: ['amqp://a', 'amqp://b'] } }))).toBe('amqp://a,amqp://b')
  expect(busUrlOf(resolve({ bus: { data: '/data/my app?#%' } }))).toBe('omnibus:///data/my%20app%3F%23%25?spawn=false')
})

test('the bus URL of commands in other languages', () => {
  const url = (bus: object): string | undefined => clientUrlOf(resolve({ bus }))
  expect(url({ url: ['amqp://a', 'amqp://b'] })).toBe('amqp://a;amqp://b')
  expect(url({ listen: '127.0.0.1:5673' })).toBe('amqp://guest:guest@127.0.0.1:5673/')
  expect(url({ listen: ':5673' })).toBe('amqp://guest:guest@127.0.0.1:5673/')
  expect(url({ listen: '[::1]:5673' })).toBe('amqp://guest:guest@[::1]:5673/')
  for (const bus of [{}, { listen: '127.0.0.1:0' }]) expect(url(bus)).toBeUndefined()
})

test.each([
  ['amqp://u:p@a/v', 'amqp://u:***@a/v'],
  ['amqp://u:p@a:1,b:2/v', 'amqp://u:***@a:1,b:2/v'],
  ['amqp://u:p@a,u2:p2@b/v', 'amqp://u:***@a,u2:***@b/v'],
  ['amqp://u:p,p@h', 'amqp://u:***@h'],
  ['amqp://u:p/p@h', 'amqp://u:***@h'],
  ['amqp://u:p@p@h', 'amqp://u:***@h'],
  ['redis://:p@h:1/0', 'redis://:***@h:1/0'],
  ['cannot reach amqp://u:p@h, https://a.b/c', 'cannot reach amqp://u:***@h, https://a.b/c'],
  ['https://h/?x=1&access_token=p&y=2', 'https://h/?x=1&access_token=***&y=2'],
  ['amqp://h:1/v and nothing else', 'amqp://h:1/v and nothing else'],
])('%s is written as %s', (text, expected) => {
  expect(redactText(text)).toBe(expected)
  expect(redactDeep({ a: [text], b: 1 })).toEqual({ a: [expected], b: 1 })
})

test.each([
  ['amqp://u:p@h/v', 'amqp://u:***@h/v'],
  ['u:p@h', '***@h'],
  ['p@h', '***@h'],
  ['omnibus:///data', 'omnibus:///data'],
])('the URL %s is written as %s', (url, expected) => {
  expect(redactUrl(url)).toBe(expected)
})
