/** Ctrl-C on a real terminal, which reaches every process of the foreground group; npm passes it on besides. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root, userFolder } from '../support/omnibus.ts'
import { run } from '../support/process.ts'
import { waitFor } from '../support/wait.ts'

const main = join(root, 'dist', 'cli', 'main.js')
const terminal = join(import.meta.dirname, 'fixtures', 'terminal.py')
const hasPython = spawnSync('python3', ['-c', 'import pty']).status === 0
const CONFIG = `import { appendFileSync } from 'node:fs'
export default {
  bus: { url: 'amqp://127.0.0.1:1' },
  web: { entry: './web.ts', bind: '127.0.0.1:0', workers: 2 },
  hooks: { workerInt({ label }) { appendFileSync('heard', label + '\\n') }, onExit({ reason }) { appendFileSync('heard', reason + '\\n') } },
}`

test.runIf(hasPython).each([
  ['under node', [process.execPath, main, 'serve'], [0]],
  // npm has heard the Ctrl-C too, and may end by it.
  ['under npm', ['npm', 'run', 'serve'], [0, 254]],
])('%s it is one quick stop, and a request under way is answered', async (_, command, codes) => {
  const folder = userFolder('terminal')
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ type: 'module', scripts: { serve: `"${process.execPath}" "${main}" serve` } }),
  )
  writeFileSync(join(folder, 'omnibus.config.ts'), CONFIG)
  // It asks itself, and says so when it is at work.
  writeFileSync(
    join(folder, 'web.ts'),
    `export default (request, response) => {
  console.log('at work')
  setTimeout(() => response.end('done'), 1_200)
}`,
  )
  await using serving = run('python3', [terminal, 'at work', ...command], { cwd: folder, label: 'terminal' })
  const [, url = ''] = /(http:\/\/127\.0\.0\.1:\d+)/.exec(await serving.line('Listening on')) ?? []
  const answer = await (await fetch(url)).text()
  expect(answer).toBe('done')
  expect(codes).toContain((await serving.exit()).code)
  const said = serving.lines.join('\n')
  expect(said).toContain('Stopped')
  expect(said).not.toMatch(/[Aa]sked again|killed|SIGINT/)
  const heard = readFileSync(join(folder, 'heard'), 'utf8').trim().split('\n')
  expect(heard.toSorted()).toEqual(['stop', 'web.1', 'web.2'])
  await waitFor(() => serving.processes().length === 0, { what: 'every process to be gone' })
})
