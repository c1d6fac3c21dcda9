/** User, umask, working directory and environment of the processes. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { ResolvedProcesses } from '../../src/config/processes.ts'
import { ConfigError } from '../../src/core/errors.ts'
import { program } from '../support/built.ts'
import { omnibus, root as packageRoot, userFolder } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import { runToEnd } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'

const isRoot = process.getuid?.() === 0

describe('what the config comes to', () => {
  const root = tempDir('processes')
  mkdirSync(join(root, 'sub'))
  writeFileSync(join(root, '.env'), 'A=file\nB="two words"\nC=file\n')
  const resolve = (input: unknown, env: Record<string, string> = {}, overrides = {}): ResolvedProcesses =>
    resolveConfig(input, { root, env, overrides }).processes
  const problems = (input: unknown, overrides = {}): string[] => {
    try {
      resolve(input, {}, overrides)
      return []
    } catch (error) {
      if (error instanceof ConfigError) return error.problems.map(({ path, expected, got }) => `${path}: ${expected}; ${got}`)
      throw error
    }
  }

  test('the environment goes before the file, and the config before both', () => {
    expect(resolve({ envFile: '.env', env: { C: 'config' } }, { A: 'outside' }).env).toEqual({ B: 'two words', C: 'config' })
    expect(resolve({ envFile: 'gone' }, {}, { envFile: '.env' }).env).toEqual({ A: 'file', B: 'two words', C: 'file' })
    writeFileSync(join(root, 'web.ts'), '')
    writeFileSync(join(root, 'port.env'), 'PORT=4711\n')
    expect(resolveConfig({ web: { entry: './web.ts' }, envFile: 'port.env' }, { root }).web?.bind).toEqual(['0.0.0.0:4711'])
  })

  test("the flag's file is there for the code of the config as well", async () => {
    writeFileSync(join(root, 'flag.env'), 'OMNIBUS_TEST_URL=amqp://flag\n')
    writeFileSync(join(root, 'env.config.mjs'), 'export default { bus: { url: process.env.OMNIBUS_TEST_URL } }')
    const { config } = await loadConfig({ file: 'env.config.mjs', root, overrides: { envFile: 'flag.env' } })
    delete process.env['OMNIBUS_TEST_URL']
    expect(config.bus.urls).toEqual(['amqp://flag'])
    expect(config.processes.env).toEqual({ OMNIBUS_TEST_URL: 'amqp://flag' })
  })

  test('umask and folder', () => {
    expect(resolve({ umask: '027', chdir: 'sub' })).toEqual({ umask: 0o27, chdir: join(root, 'sub'), env: {} })
    expect(resolve({ umask: 0o77 }).umask).toBe(0o77)
  })

  test('what is wrong is named', () => {
    const wrong = { user: 'no-such-user', group: -1, umask: '089', chdir: 'gone', envFile: 'gone', env: { A: 1 } }
    expect(problems(wrong)).toEqual([
      'group: a name, or a number from 0; -1',
      'umask: octal digits such as \'027\', or 0o027; "089"',
      'env.A: a text; 1',
      `envFile: a file that can be read; ${join(root, 'gone')}: ENOENT`,
      'user: a user of /etc/passwd, or its number; "no-such-user"',
      `chdir: a folder; ${join(root, 'gone')}, which is none`,
    ])
    expect(problems({}, { envFile: 'gone' })).toEqual([`--env-file: a file that can be read; ${join(root, 'gone')}: ENOENT`])
  })

  test.runIf(isRoot)('names become numbers, and a group is the primary one of the user', () => {
    expect(resolve({ user: 'nobody' })).toMatchObject({ uid: 65_534, gid: 65_534 })
    expect(resolve({ user: 'nobody', group: 'daemon' })).toMatchObject({ uid: 65_534, gid: 1 })
    expect(resolve({ user: 4711 })).toMatchObject({ uid: 4711 })
  })

  test.runIf(isRoot && existsSync('/usr/bin/setpriv'))('who is not root cannot become another', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'omnibus-nobody-'))
    chmodSync(folder, 0o755)
    writeFileSync(join(folder, 'omnibus.config.mjs'), "export default { user: 'root', web: { entry: './omnibus.config.mjs' } }")
    const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, program, 'check']
    const { code, output } = await runToEnd('/usr/bin/setpriv', nobody, { cwd: folder, label: 'check' })
    expect(code).toBe(78)
    expect(output).toContain('user: expected to be started by root, who alone can become another, got user 65534')
    rmSync(folder, { recursive: true })
  })
})

const WEB = `import { readFileSync } from 'node:fs'
import { asked, Asked } from './contracts.ts'
import { createBus } from 'omnibus'
const bus = createBus({ declares: [asked] })
export default async (request, response) => {
  if (request.url === '/publish') await bus.publish(Asked, {})
  const { A, FROM_FILE } = process.env
  const umask = process.umask().toString(8)
  response.end(JSON.stringify({ cwd: process.cwd(), umask, A, FROM_FILE, uid: process.getuid(), gid: process.getgid(), groups: process.getgroups() }))
}`
const FILES = {
  'contracts.ts': `import { event, queue } from 'omnibus'
import { z } from 'zod'
export const Asked = event('asked.v1', { schema: z.object({}) })
export const asked = queue('asked', { listensTo: [Asked] })`,
  'work.ts': `import { consume, on } from 'omnibus'
import { Asked, asked } from './contracts.ts'
export default consume(asked, {}, on(Asked, () => console.log('handled by user ' + process.getuid())))`,
  'web.ts': WEB,
}

function write(folder: string, config: string): void {
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, name), text)
  writeFileSync(join(folder, 'omnibus.config.ts'), config)
}
const commandLine = (pid: number): string => readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()

test('processes have the folder, umask and environment of the config, of which a reload takes a new one', async () => {
  const folder = userFolder('processes')
  mkdirSync(join(folder, 'sub'))
  writeFileSync(join(folder, '.env'), 'FROM_FILE=secret-one\n')
  write(
    folder,
    `import { writeFileSync } from 'node:fs'
export default {
  web: { entry: './web.ts', bind: ['127.0.0.1:${await freePort()}', 'unix:web.sock'] },
  chdir: 'sub', umask: '027', env: { A: 'b' }, envFile: '.env',
  hooks: { onStarting() { writeFileSync('started', process.env.A + ' ' + process.env.FROM_FILE) } },
}`,
  )
  await using master = omnibus(['serve'], { cwd: folder, env: { OMNIBUS_LOG: 'json' } })
  const { url } = JSON.parse(await master.line('"url":')) as { url: string }
  const ask = async (): Promise<Record<string, unknown>> => (await fetch(url)).json() as Promise<Record<string, unknown>>
  expect(await ask()).toMatchObject({ cwd: join(folder, 'sub'), umask: '27', A: 'b', FROM_FILE: 'secret-one' })
  // Of the hook host, which had read the config before it could know of any of it.
  expect(readFileSync(join(folder, 'sub', 'started'), 'utf8')).toBe('b secret-one')
  expect((statSync(join(folder, 'sub', 'started')).mode & 0o777).toString(8)).toBe('640')
  expect((statSync(join(folder, 'web.sock')).mode & 0o777).toString(8)).toBe('750')
  const titles = master.processes().map(commandLine)
  for (const name of ['master', 'hooks', 'web.1', 'broker']) expect(titles).toContain(`omnibus ${name}`)
  writeFileSync(join(folder, '.env'), 'FROM_FILE=secret-two\n')
  master.signal('SIGHUP')
  await master.line('The config has changed: processes.env.FROM_FILE has changed')
  await master.line('"Reloaded"')
  expect(await ask()).toMatchObject({ FROM_FILE: 'secret-two' })
  const check = await runToEnd(process.execPath, [program, 'check'], { cwd: folder, label: 'check' })
  expect(check.output).toContain('"FROM_FILE": "***"')
  expect([...master.lines, check.output].join('\n')).not.toContain('secret-')
})

test.runIf(isRoot)('as root, all but the master and the hook host become the user, with no group of root left', async () => {
  // Where nobody may read it.
  const folder = mkdtempSync(join(tmpdir(), 'omnibus-nobody-'))
  chmodSync(folder, 0o755)
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(packageRoot, join(folder, 'node_modules', 'omnibus'))
  symlinkSync(join(packageRoot, 'node_modules', 'zod'), join(folder, 'node_modules', 'zod'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n')
  write(
    folder,
    `export default { web: { entry: './web.ts', bind: '127.0.0.1:0' }, consumers: { work: { entry: './work.ts' } }, user: 'nobody', group: 'nogroup' }`,
  )
  await using master = omnibus(['serve'], { cwd: folder, env: { OMNIBUS_LOG: 'json' } })
  const { url } = JSON.parse(await master.line('"url":')) as { url: string }
  expect(await (await fetch(`${url}/publish`)).json()).toMatchObject({ uid: 65_534, gid: 65_534, groups: [65_534] })
  await master.line('handled by user 65534')
  const uids = Object.fromEntries(master.processes().map((pid) => [commandLine(pid), statSync(`/proc/${pid}`).uid]))
  expect(uids).toMatchObject({ 'omnibus master': 0, 'omnibus web.1': 65_534, 'omnibus work.1': 65_534, 'omnibus broker': 65_534 })
  master.signal('SIGTERM')
  expect((await master.exit()).code).toBe(0)
  await waitFor(() => master.processes().length === 0, { what: 'all to be gone' })
  rmSync(folder, { recursive: true })
})
