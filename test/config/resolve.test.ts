import { join } from 'node:path'
import { expect, test } from 'vitest'
import { problems, resolve, root, web } from './house.ts'

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

test.each([[undefined], [null], [[]], ['web.ts'], [3]])('%j is no config', (input) => {
  expect(problems(input)[0]).toMatch(/^default export: a config/)
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

test('no two units have one name', () => {
  const unit = { consumers: { entry: './video.ts' }, exec: { command: ['/bin/sh'] }, forward: { queue: 'q', to: 'http://h/' } }
  const both = (...[one, other]: (keyof typeof unit)[]): string[] => problems({ [one!]: { x: unit[one!] }, [other!]: { x: unit[other!] } })
  expect(both('consumers', 'exec')).toEqual(['exec.x: a name that no consumer has; "x"'])
  const taken = ['forward.x: a name that no consumer and no command has; "x"']
  expect([both('consumers', 'forward'), both('exec', 'forward')]).toEqual([taken, taken])
})
