/** `omnibus logs`, of real processes. */
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import type { MasterAnnouncement } from '../../src/supervisor/announcement.ts'
import type { ControlReply } from '../../src/supervisor/control-protocol.ts'
import { omnibus, root, userFolder } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import { runToEnd, type Running } from '../support/process.ts'
import { waitFor } from '../support/wait.ts'

/** Writes as many numbered lines as it is asked for, each as long as it is asked for, and dies when it is asked to. */
const WEB = `
export default (request, response) => {
  const { searchParams: asked } = new URL(request.url, 'http://x')
  const count = Number(asked.get('lines'))
  const fill = 'x'.repeat(Number(asked.get('fill')))
  for (let n = 1; n <= count; n++) console.log(process.pid + ' line ' + n + ' ' + fill)
  if (asked.has('last')) { process.stderr.write('last words without an end'); process.exit(3) }
  response.end(String(process.pid))
}
`

interface House {
  readonly folder: string
  readonly args: readonly string[]
  readonly ask: (query: string) => Promise<string>
}

async function house(): Promise<House> {
  const folder = userFolder('logs')
  const bind = `127.0.0.1:${await freePort()}`
  writeFileSync(join(folder, 'web.ts'), WEB)
  writeFileSync(
    join(folder, 'omnibus.config.ts'),
    `export default { bus: { url: 'amqp://127.0.0.1:1/' }, web: { entry: './web.ts', workers: 2, bind: '${bind}' } }`,
  )
  const ask = async (query: string): Promise<string> =>
    (await fetch(`http://${bind}/?${query}`, { headers: { connection: 'close' } })).text()
  return { folder, args: ['serve'], ask }
}

const serve = async ({ folder, args }: House): Promise<Running> => {
  const serving = omnibus(args, { cwd: folder })
  await serving.line('Listening on')
  return serving
}
const command = (folder: string, ...args: string[]): Promise<{ code: number | null; output: string }> =>
  runToEnd(process.execPath, [join(root, 'dist', 'cli', 'main.js'), ...args], { cwd: folder, label: 'logs' })
const socketOf = (folder: string): string => {
  const [name = ''] = readdirSync(join(folder, '.omnibus')).filter((file) => file.startsWith('master-'))
  return (JSON.parse(readFileSync(join(folder, '.omnibus', name), 'utf8')) as MasterAnnouncement).socket
}

test('logs shows the last lines of a unit, also the last words of a process that is gone', async () => {
  const h = await house()
  await using serving = await serve(h)
  await h.ask('lines=3')
  await h.ask('last').catch(() => {})
  await serving.line(/web\.\d ended with code 3/)
  const all = await command(h.folder, 'logs')
  expect(all).toMatchObject({ code: 0 })
  expect(all.output).toMatch(/master +Listening on/)
  // Processes tell by turns, so that only the lines of one are in order.
  expect(all.output).toMatch(/web\.\d +\d+ line 1[^]*line 3/)
  expect(all.output).toMatch(/web\.\d +last words without an end[^]*warn web\.\d ended with code 3/)

  // What the master says of a process is part of its unit's log.
  expect((await command(h.folder, 'logs', 'web')).output).toMatch(/warn web\.\d ended with code 3/)
  expect((await command(h.folder, 'logs', 'master')).output).not.toContain('line 1')
  const two = (await command(h.folder, 'logs', 'web', '-n', '2', '--json')).output.split('\n')
  expect(two.map((line) => Object.keys(JSON.parse(line) as object))).toEqual([
    ['unit', 'line'],
    ['unit', 'line'],
  ])
  expect(await command(h.folder, 'logs', 'mial')).toEqual({
    code: 1,
    signal: null,
    output: 'there is no unit "mial"; there are master, web, web.1, web.2',
  })
})

test('logs --follow goes on until the master ends', async () => {
  const h = await house()
  await using serving = await serve(h)
  await using following = omnibus(['logs', 'web', '--follow', '--lines', '0'], { cwd: h.folder })
  await waitFor(async () => (await h.ask('lines=1'), following.lines.some((line) => / line 1 ?$/.test(line))), { what: 'a line' })
  expect(following.lines.join('\n')).not.toContain('Listening on')
  serving.signal('SIGTERM')
  expect(await following.exit()).toEqual({ code: 0, signal: null })
})

test('a follower that does not read holds nobody up, and is told how many lines it missed', async () => {
  const h = await house()
  await using serving = await serve(h)
  const socket = connect({ path: socketOf(h.folder) })
  await once(socket, 'connect')
  socket.write('{"verb":"logs","unit":"web","lines":0,"follow":true}\n')
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]()
  const next = async (): Promise<Extract<ControlReply, { ok: true }>> => {
    const { value } = await lines.next()
    return JSON.parse(String(value)) as Extract<ControlReply, { ok: true }>
  }
  expect(await next()).toMatchObject({ ok: true, log: [] })
  socket.pause()
  const COUNT = 20_000
  await h.ask(`lines=${COUNT}&fill=400`)
  // All of it is out, though the follower has not read.
  await serving.line(`line ${COUNT} `)
  expect((await command(h.folder, 'status')).code).toBe(0)

  socket.resume()
  let shown = 0
  let missed = 0
  while (shown + missed < COUNT) {
    const reply = await next()
    shown += reply.log?.length ?? 0
    missed += reply.missed ?? 0
  }
  expect(shown + missed).toBe(COUNT)
  expect(missed).toBeGreaterThan(0)
  await h.ask('lines=1')
  expect((await next()).log?.[0]?.line).toMatch(/line 1 $/)
  socket.destroy()
}, 120_000)
