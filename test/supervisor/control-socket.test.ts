/** The control socket and its commands, with real processes. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import type { MasterAnnouncement } from '../../src/supervisor/announcement.ts'
import { program } from '../support/built.ts'
import { run, runToEnd } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { house, type House } from './house.ts'

const consumers = { video: { entry: './video.ts', instances: 2 } }
const command = (cwd: string, ...args: string[]): Promise<{ code: number | null; output: string }> =>
  runToEnd(process.execPath, [program, ...args], { cwd, label: 'omnibus' })
const announced = (folder: string): MasterAnnouncement[] =>
  readdirSync(join(folder, '.omnibus'))
    .filter((name) => name.startsWith('master-'))
    .map((name) => JSON.parse(readFileSync(join(folder, '.omnibus', name), 'utf8')) as MasterAnnouncement)
const pidOf = async (h: House, label: string): Promise<number | undefined> =>
  (await h.status()).units.find((unit) => unit.label === label)?.pid

test('status, restart, scale, reload and stop do what they say, and stop leaves nothing', async () => {
  await using h = await house({ config: { consumers } })
  await h.ready()
  const [announcement] = announced(h.folder)
  const socket = announcement?.socket ?? expect.fail('not announced')
  expect(statSync(socket).mode & 0o777).toBe(0o600)
  expect(statSync(dirname(socket)).mode & 0o777).toBe(0o700)
  expect(announcement).toMatchObject({ pid: h.master.pid, file: join(h.folder, 'omnibus.config.ts') })

  const status = await command(h.folder, 'status')
  expect(status.code).toBe(0)
  expect(status.output).toMatch(new RegExp(`Master ${h.master.pid} on http://127.0.0.1:${h.port}, ready; 0 reloads`))
  expect(status.output).toMatch(/label +state +pid[^]*video\.1 +ready +\d+.* connected[^]*web\.2 +ready/)
  const json = await command(dirname(h.folder), 'status', '--json', '--config', join(h.folder, 'omnibus.config.ts'))
  expect(JSON.parse(json.output)).toMatchObject({ pid: h.master.pid, ready: true, units: { length: 4 } })

  const before = await pidOf(h, 'video.1')
  expect(await command(h.folder, 'restart', 'video.1')).toMatchObject({ code: 0, output: 'Replaced: video.1' })
  expect(await pidOf(h, 'video.1')).not.toBe(before)
  const said = h.messages()
  expect(said.lastIndexOf('video.1: video.1 is ready')).toBeLessThan(said.indexOf('video.1: stop reload true'))

  expect(await command(h.folder, 'scale', 'video=3')).toMatchObject({ code: 0, output: '3 processes of video wanted' })
  await h.said('video.3 is ready')
  expect(await command(h.folder, 'scale', 'web=0')).toMatchObject({ code: 1, output: 'one is the least' })

  expect(await command(h.folder, 'reload')).toMatchObject({ code: 0, output: 'Reloaded' })
  expect((await h.status()).generation).toBe(1)
  writeFileSync(join(h.folder, 'omnibus.config.ts'), 'export default {')
  const refused = await command(h.folder, 'reload')
  expect(refused.code).toBe(1)
  expect(refused.output).toMatch(/Reload refused, everything goes on as before: [^]*SyntaxError/)
  expect((await command(h.folder, 'status')).output).toMatch(/The last reload was refused at .*SyntaxError/)

  expect(await command(h.folder, 'stop')).toMatchObject({ code: 0, output: 'Stopped' })
  expect(await h.master.exit()).toEqual({ code: 0, signal: null })
  expect(existsSync(dirname(socket))).toBe(false)
  expect(readdirSync(join(h.folder, '.omnibus'))).toEqual([])
})

test('stop exits with the code of the master', async () => {
  await using h = await house({ behaviours: { 'web.1': 'cut-off' } })
  await h.ready()
  expect(await command(h.folder, 'stop')).toMatchObject({ code: 75, output: 'Stopped, but cut off: web.1' })
})

test('without a running master a command says so and exits with 69', async () => {
  const folder = tempDir('nobody')
  const all = [['status'], ['logs'], ['reload'], ['stop'], ['restart', 'web'], ['scale', 'web=2']]
  for (const { code, output } of await Promise.all(all.map((args) => command(folder, ...args)))) {
    expect(code).toBe(69)
    expect(output).toContain(`No master runs with a config in ${folder}; omnibus serve or work starts one`)
  }
  expect((await command(folder, 'status', '--config', 'gone.ts')).output).toMatch(
    /--config: expected an existing file or folder, got .*gone\.ts/,
  )
  expect((await command(folder, 'scale', 'web')).output).toContain('It must be UNIT=N')
})

test('what a killed master left is no master, and is removed by the next one; of two, one must be chosen', async () => {
  await using first = await house()
  await first.ready()
  const [left] = announced(first.folder)
  first.master.signal('SIGKILL')
  await first.master.exit()
  expect((await command(first.folder, 'status')).code).toBe(69)

  const serve = (): ReturnType<typeof run> =>
    run(process.execPath, [join(import.meta.dirname, 'fixtures', 'master.ts'), join(first.folder, 'quiet.config.ts')], {
      cwd: first.folder,
    })
  writeFileSync(
    join(first.folder, 'quiet.config.ts'),
    'export default { bus: { url: "amqp://h/" }, consumers: { video: { entry: "./video.ts" } } }',
  )
  await using one = serve()
  await one.line('"Ready"')
  expect(existsSync(dirname(left?.socket ?? '/'))).toBe(false)
  await using two = serve()
  await two.line('"Ready"')
  const { code, output } = await command(first.folder, 'stop')
  expect(code).toBe(78)
  expect(output).toContain('--pid: expected which of several masters')
  expect((await command(first.folder, 'stop', '--pid', String(two.pid))).code).toBe(0)
  await two.exit()
  expect((await command(first.folder, 'stop')).code).toBe(0)
  await one.exit()
})

test('lines that are no requests are answered, and requests before them too', async () => {
  await using h = await house()
  await h.ready()
  const socket = connect({ path: announced(h.folder)[0]?.socket ?? expect.fail() })
  socket.write('{"verb":"status"}\nnonsense\n{"verb":"restart","unit":"gone"}\n')
  socket.end()
  const replies = (await text(socket)).trim().split('\n')
  expect(replies.map((line) => (JSON.parse(line) as { ok: boolean }).ok)).toEqual([true, false, false])
  expect(replies[1]).toContain('one of status, reload, stop, restart, scale and logs')
})

test('a folder that cannot be written leaves a master that serves', async () => {
  const folder = tempDir('no-folder')
  writeFileSync(join(folder, '.omnibus'), 'a file in the way')
  writeFileSync(join(folder, 'web.ts'), 'export {}')
  writeFileSync(
    join(folder, 'omnibus.config.ts'),
    'export default { bus: { url: "amqp://h/" }, web: { entry: "./web.ts", bind: "127.0.0.1:0" } }',
  )
  await using master = run(process.execPath, [join(import.meta.dirname, 'fixtures', 'master.ts'), join(folder, 'omnibus.config.ts')], {
    cwd: folder,
  })
  await master.line(/There is no control socket, so that only signals reach this master/)
  await master.line('Listening on')
})

test('status --watch shows it anew until the master ends', async () => {
  await using h = await house()
  await h.ready()
  await using watch = run(process.execPath, [program, 'status', '--watch'], { cwd: h.folder })
  await waitFor(() => watch.lines.filter((line) => line.startsWith(`Master ${h.master.pid}`)).length >= 2, { what: 'two tables' })
  h.master.signal('SIGTERM')
  expect((await watch.exit()).code).toBe(69)
})
