/** The command: what it says, and how it ends. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { program } from '../support/built.ts'
import { freePort } from '../support/ports.ts'
import { run, runToEnd, type Running } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'

const packageJson = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')) as { version: string }
const bus = 'amqp://u:canary@127.0.0.1:1/'

function folder(files: Record<string, string>): string {
  const path = tempDir('cli')
  writeFileSync(join(path, 'package.json'), '{ "type": "module" }')
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text)
  return path
}
const omnibus = (args: readonly string[], cwd: string, env: Record<string, string> = {}): Running =>
  run(process.execPath, [program, ...args], { cwd, env, label: 'omnibus' })
const toEnd = (
  args: readonly string[],
  cwd = tempDir('cli'),
  env: Record<string, string> = {},
): Promise<{ code: number | null; output: string }> => runToEnd(process.execPath, [program, ...args], { cwd, env, label: 'omnibus' })

const app = "export default (req, res) => res.end('hello')\n"

describe('help and mistakes', () => {
  test('--version and --help', async () => {
    expect(await toEnd(['--version'])).toMatchObject({ code: 0, output: packageJson.version })
    const { code, output } = await toEnd(['--help'])
    expect(code).toBe(0)
    for (const word of ['serve', 'work', 'broker', 'check', 'Examples:', 'omnibus serve web.ts -w 4 -b :8080'])
      expect(output).toContain(word)
  })

  test.each([
    [['serv'], /unknown command 'serv'[^]*Did you mean serve\?/],
    [['serve', '--wrokers', '2'], /unknown option '--wrokers'[^]*Did you mean --workers\?/],
    [['serve', '-w', 'two'], /argument 'two' is invalid. It must be a whole number/],
    [['serve', 'gone.ts'], /an existing file, got .*gone\.ts/],
    [['serve'], /omnibus\.config\.ts.*or a path, got neither/],
    [['broker', '--listen', '5673x'], /--listen: expected host:port/],
  ])('%j', async (args, expected) => {
    const { code, output } = await toEnd(args)
    expect(code).toBe(78)
    expect(output).toMatch(expected)
    expect(output).not.toMatch(/\n\s+at /)
  })
})

describe('check', () => {
  test('prints what the config comes to, without secrets, and ends though the config left a timer', async () => {
    const cwd = folder({
      'omnibus.config.ts': `setInterval(() => {}, 1000)\nexport default { bus: { url: '${bus}' }, web: { entry: './web.ts' } }`,
      'web.ts': app,
    })
    const { code, output } = await toEnd(['check'], cwd, { PORT: '4000' })
    expect(code).toBe(0)
    expect(JSON.parse(output)).toMatchObject({
      bus: { urls: ['amqp://u:***@127.0.0.1:1/'] },
      web: { bind: ['0.0.0.0:4000'], entry: join(cwd, 'web.ts') },
    })
  })

  test('what the file throws is told with its line', async () => {
    const cwd = folder({ 'omnibus.config.ts': "import './other.ts'\nthrow new Error('no luck')", 'other.ts': 'export {}' })
    expect((await toEnd(['check'], cwd)).output).toMatch(/the file: expected a module that can be imported, got Error: no luck \(line 2\)/)
    writeFileSync(join(cwd, 'other.ts'), 'const a =\n  = 1')
    expect((await toEnd(['check'], cwd)).output).toMatch(/SyntaxError: .* \(.*other\.ts line 2\)/)
  })

  test.each(['serve', 'work'])("as Gunicorn's flags of %s: with its other flags, without secrets, and nothing is run", async (command) => {
    const exec = '{ py: { command: ["/bin/true"], env: { API_KEY: "canary", LANG: "C" } } }'
    const cwd = folder({ 'omnibus.config.mjs': `export default { bus: { url: '${bus}' }, exec: ${exec} }` })
    const { code, output } = await toEnd([command, '--print-config', '--pid', 'x.pid'], cwd)
    expect(code).toBe(0)
    expect(JSON.parse(output)).toMatchObject({ pidFile: join(cwd, 'x.pid'), exec: { py: { env: { API_KEY: '***', LANG: '***' } } } })
    expect(output).not.toContain('canary')
    expect(await toEnd([command, '--check-config'], cwd)).toMatchObject({ code: 0, output: '' })
    writeFileSync(join(cwd, 'omnibus.config.mjs'), 'export default { wbe: 1 }')
    expect(await toEnd([command, '--check-config'], cwd)).toMatchObject({ code: 78, output: expect.stringContaining('wbe: expected') })
  })

  test('all problems, exit 78', async () => {
    const cwd = folder({ 'my.config.mjs': 'export default { web: { entri: "x" }, gracefulTimeoutMs: 0 }' })
    const { code, output } = await toEnd(['check', 'my.config.mjs'], cwd)
    expect(code).toBe(78)
    expect(output).toMatch(/web\.entri: expected a known option; did you mean "entry"\?[^]*gracefulTimeoutMs/)
    expect(output).not.toMatch(/\n\s+at /)
  })
})

describe('serve', () => {
  test('a module alone, with flags; the address is in the log, and TERM ends it with 0', async () => {
    const cwd = folder({ 'web.ts': app })
    await using server = omnibus(['serve', 'web.ts', '-w', '2', '-b', '127.0.0.1:0', '--pid', 'omnibus.pid', '--bus-url', bus], cwd)
    const { url } = JSON.parse(await server.line('"url":')) as { url: string }
    expect(await (await fetch(url)).text()).toBe('hello')
    expect(Number(readFileSync(join(cwd, 'omnibus.pid'), 'utf8'))).toBe(server.pid)
    expect(server.lines.filter((line) => /web\.\d is ready/.test(line))).toHaveLength(2)
    server.signal('SIGTERM')
    expect(await server.exit()).toEqual({ code: 0, signal: null })
    expect(server.lines.join('\n')).not.toContain('canary')
    expect(server.processes()).toEqual([])
  })

  test('a config found in the working directory, on PORT, with plain lines for people', async () => {
    const port = await freePort()
    const cwd = folder({
      'omnibus.config.mjs': `console.log('config read')\nexport default { bus: { url: '${bus}' }, web: { entry: './web.ts' } }`,
      'web.ts': app,
    })
    await using server = omnibus(['serve'], cwd, { PORT: String(port), OMNIBUS_LOG: 'pretty' })
    await server.line(`Listening on http://0.0.0.0:${port}`)
    expect(await server.line('config read')).toMatch(/config +config read$/)
    expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe('hello')
    server.signal('SIGTERM')
    expect((await server.exit()).code).toBe(0)
  })

  test('a unix socket, also one left from a master that was killed', async () => {
    const cwd = folder({ 'web.ts': app })
    const args = ['serve', 'web.ts', '-b', 'unix:web.sock', '--bus-url', bus]
    await using first = omnibus(args, cwd)
    await first.line(`"url":"unix:${join(cwd, 'web.sock')}"`)
    const second = await toEnd(args, cwd)
    expect(second.code).toBe(78)
    expect(second.output).toContain('which another program listens on')
    first.signal('SIGKILL')
    await waitFor(() => first.processes().length === 0, { what: 'all to be gone' })
    await using third = omnibus(args, cwd)
    await third.line('"url":')
  })

  test('an entry that cannot be loaded is named, and given up in the end', async () => {
    const cwd = folder({
      'omnibus.config.ts': `export default { bus: { url: '${bus}' }, web: { entry: './web.ts', bind: '127.0.0.1:0' }, restart: { minMs: 1, maxCrashes: 2 } }`,
      'web.ts': 'const a = \n',
    })
    const { code, output } = await toEnd(['serve'], cwd)
    expect(code).toBe(69)
    expect(output).toMatch(/web\.ts.*SyntaxError/)
    expect(output).toContain('given up after 2 crashes')
  })
})

test('work needs consumers or hooks, and runs no web', async () => {
  const cwd = folder({ 'omnibus.config.ts': `export default { bus: { url: '${bus}' }, web: { entry: './web.ts' } }`, 'web.ts': app })
  const { code, output } = await toEnd(['work'], cwd)
  expect(code).toBe(78)
  expect(output).toContain('has nothing to run: it needs `consumers`, `forward`, `gateway`, `exec` or `hooks`')
  const hooks = folder({
    'omnibus.config.ts': `export default { bus: { url: '${bus}' }, web: { entry: './gone.ts' }, hooks: { onStarting() { console.log('begun') } } }`,
    'gone.ts': 'throw new Error("not to be run")',
  })
  await using work = omnibus(['work'], hooks)
  await work.line('begun')
  await work.line('"msg":"Ready"')
  work.signal('SIGTERM')
  expect((await work.exit()).code).toBe(0)
})
