/** The whole: real workers, replaced under clients that never retry. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { program } from '../support/built.ts'
import { freePort } from '../support/ports.ts'
import { run } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { startLoad } from './load.ts'

test('workers that reach maxRequests are replaced, and no request is lost', async () => {
  const folder = tempDir('recycling')
  const port = await freePort()
  const web = { entry: './app.mjs', bind: `127.0.0.1:${port}`, workers: 2, maxRequests: 150, maxRequestsJitter: 100 }
  const config = { bus: { url: 'amqp://127.0.0.1:1/' }, web, log: { level: 'info' } }
  writeFileSync(join(folder, 'omnibus.config.mjs'), `export default ${JSON.stringify(config)}\n`)
  writeFileSync(
    join(folder, 'app.mjs'),
    `export default (request, response) => {
  const ms = Number(new URL(request.url, 'http://x').searchParams.get('ms'))
  request.resume().on('end', () => setTimeout(() => response.end(String(process.pid)), ms))
}\n`,
  )
  await using master = run(process.execPath, [program, 'serve'], { cwd: folder, label: 'omnibus' })
  await master.line('Listening on')
  const load = startLoad(`http://127.0.0.1:${port}`, { keepAlive: 6, closing: 2, posting: 1 })
  try {
    const replaced = (): number => master.lines.filter((line) => /has had \d+ requests and is replaced/.test(line)).length
    // Two first workers and the successors of both.
    await waitFor(() => replaced() >= 4 && load.seen.size >= 5, { what: 'four replacements', deadlineMs: 60_000 })
  } finally {
    await load.stop()
  }
  expect(load.failures).toEqual([])
  expect(load.answered()).toBeGreaterThan(500)
  expect(master.lines.filter((line) => line.includes('did not stop in time'))).toEqual([])
}, 90_000)
