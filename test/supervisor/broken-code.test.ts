/** Code that does not start, in a reload of the real thing under load: it is refused with the reason, and nobody notices. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, afterAll, expect, test } from 'vitest'
import { announcedMasters } from '../../src/supervisor/announcement.ts'
import { followMaster } from '../../src/supervisor/control-client.ts'
import type { ControlReply } from '../../src/supervisor/control-protocol.ts'
import { omnibus, userFolder } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import type { Running } from '../support/process.ts'
import { type Load, startLoad } from '../worker/load.ts'

const GOOD = {
  'web.ts': `export default (request, response) => request.resume().on('end', () => response.end('good'))\n`,
  'work.ts': `import { consume, event, on, queue } from 'omnibus'
export default consume(queue('work', { listensTo: [event('asked.v1')] }), on(event('asked.v1'), () => {}))\n`,
}

const folder = userFolder('broken-code')
let master: Running
let load: Load

const write = (files: Readonly<Record<string, string>>): void => {
  for (const [name, source] of Object.entries(files)) writeFileSync(join(folder, name), source)
}
const ask = async (verb: 'reload' | 'status'): Promise<ControlReply | undefined> => {
  const [{ socket } = { socket: '' }] = announcedMasters(folder)
  return (await followMaster(socket, { verb }).next()).value ?? undefined
}
const pids = async (): Promise<unknown> => {
  const reply = await ask('status')
  return reply?.ok && reply.status?.units.map(({ label, pid, state }) => ({ label, pid, state }))
}

beforeAll(async () => {
  const bind = `127.0.0.1:${await freePort()}`
  write(GOOD)
  const config = { web: { entry: './web.ts', bind, workers: 2, startTimeoutMs: 1_500 }, consumers: { work: { entry: './work.ts' } } }
  write({ 'omnibus.config.ts': `export default ${JSON.stringify(config)}\n` })
  master = omnibus(['serve'], { cwd: folder })
  await master.line('Listening on')
  load = startLoad(`http://${bind}`, { keepAlive: 2, closing: 2, posting: 1 })
})
afterAll(() => master?.[Symbol.asyncDispose]())

test.each([
  ['a syntax error', { 'web.ts': 'export default (' }, /web\.1 failed: web\.entry .*web\.ts cannot be loaded: SyntaxError/],
  ['an import that is missing', { 'web.ts': "import './gone.ts'" }, /Cannot find module .*gone\.ts/],
  ['an import that throws', { 'web.ts': "throw new Error('no luck')" }, /web\.ts cannot be loaded: no luck \(file:.*web\.ts:1:7\)/],
  ['no app', { 'web.ts': 'export const port = 8000' }, /exports port/],
  ['one that never listens', { 'web.ts': 'setInterval(() => {}, 1_000)\nawait new Promise(() => {})' }, /web\.1 was not ready after \d/],
  ['a loop', { 'web.ts': 'function spin() { for (;;); }\nspin()' }, /web\.1 was not ready after \d/],
  ['an exit', { 'web.ts': 'process.exit(3)' }, /web\.1 ended with code 3/],
  ['a consumer that throws', { 'work.ts': "throw new Error('no luck')" }, /work\.1 failed: consumers\.work\.entry .*no luck/],
])('%s', async (_, broken, reason) => {
  const before = await pids()
  write({ ...GOOD, ...broken })
  const reply = await ask('reload')
  expect(reply).toMatchObject({ ok: false })
  expect(reply?.ok === false && reply.error).toMatch(reason)
  expect(await pids()).toEqual(before)
})

test('mended, it is taken, and of all requests none was lost', async () => {
  write(GOOD)
  expect(await ask('reload')).toMatchObject({ ok: true })
  await load.stop()
  expect(load.failures).toEqual([])
  expect(load.answered()).toBeGreaterThan(100)
  const said = master.lines.join('\n')
  expect(said).toMatch(/web\.1 is idle in its event loop/)
  expect(said).toMatch(/web\.1 is running without a pause .*, in \S+ \(.*web\.ts:[12]\)/)
  master.signal('SIGTERM')
  expect(await master.exit()).toEqual({ code: 0, signal: null })
})
