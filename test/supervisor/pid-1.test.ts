/** As the first process of a container: signals, zombies, exit codes. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { program } from '../support/built.ts'
import { run, type Running } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { childrenOf } from './house.ts'

const canUnshare = spawnSync('unshare', ['-pf', '--mount-proc', 'true']).status === 0
const ORPHAN = `
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
// Its parent ends at once, so that it becomes a child of PID 1, and a zombie of it when it ends.
const orphan = spawn('sh', ['-c', 'setsid sh -c "echo \\\\$\\\\$ > orphan; while ! [ -e end ]; do sleep 0.05; done" &'], { stdio: 'ignore' })
export default (request, response) => response.end(readFileSync('/proc/1/cmdline', 'utf8'))
`

function inContainer(folder: string, args = ['serve', 'web.ts', '-b', '127.0.0.1:0', '--bus-url', 'amqp://127.0.0.1:1/']): Running {
  return run('unshare', ['-pf', '--mount-proc', process.execPath, program, ...args], { cwd: folder, label: 'pid-1' })
}

test.runIf(canUnshare)('it reaps orphans, hears signals and ends with its code', async () => {
  const folder = tempDir('pid-1')
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'web.ts'), ORPHAN)
  await using container = inContainer(folder)
  const { url } = JSON.parse(await container.line('"url":')) as { url: string }
  expect(await (await fetch(url)).text()).toContain('omnibus-init')
  const [init = 0] = childrenOf(container.pid)
  await waitFor(() => readFileSync(join(folder, 'orphan'), 'utf8'), { what: 'the orphan to run' })
  // The master, and the orphan.
  await waitFor(() => childrenOf(init).length === 2, { what: 'the orphan to be a child of PID 1' })
  writeFileSync(join(folder, 'end'), '')
  await waitFor(() => childrenOf(init).length === 1, { what: 'the orphan to be reaped' })
  process.kill(init, 'SIGUSR2')
  await container.line('No second master is started: the container would end with this one')
  process.kill(init, 'SIGHUP')
  await container.line('"Reloaded"')
  process.kill(init, 'SIGTERM')
  expect(await container.exit()).toEqual({ code: 0, signal: null })
})

test.runIf(canUnshare)('a second TERM shortens a stop that a request holds up', async () => {
  const folder = tempDir('pid-1')
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'web.ts'), "export default (_request, _response) => console.log('at work')")
  await using container = inContainer(folder)
  const { url } = JSON.parse(await container.line('"url":')) as { url: string }
  fetch(url).catch(() => {})
  await container.line('at work')
  const [init = 0] = childrenOf(container.pid)
  process.kill(init, 'SIGTERM')
  await container.line('Stopping')
  await waitFor(
    () => {
      // One may be lost in the time that counts as one Ctrl-C under npm.
      process.kill(init, 'SIGTERM')
      return container.lines.some((line) => line.includes('Asked again to stop'))
    },
    { what: 'the second TERM to count', everyMs: 100 },
  )
  expect(await container.exit()).toEqual({ code: 75, signal: null })
})

test.runIf(canUnshare)('a unit that is dead for good ends the container with 69', async () => {
  const folder = tempDir('pid-1')
  const config = {
    restart: { minMs: 10, maxCrashes: 2 },
    bus: { url: 'amqp://127.0.0.1:1/' },
    web: { entry: './web.ts', bind: '127.0.0.1:0' },
  }
  writeFileSync(join(folder, 'omnibus.config.mjs'), `export default ${JSON.stringify(config)}`)
  writeFileSync(join(folder, 'web.ts'), 'process.exit(3)')
  await using container = inContainer(folder, ['serve'])
  expect(await container.exit()).toEqual({ code: 69, signal: null })
  expect(container.lines.join('\n')).toContain('web.1 ended with code 3; given up after 2 crashes')
})

test.runIf(canUnshare)('a configuration that cannot be used ends the container with 78', async () => {
  await using container = inContainer(tempDir('pid-1'))
  expect((await container.exit()).code).toBe(78)
})
