/**
 * Runs tests on Node 26 instead of the Node that the repository pins: those of processes, or those named as arguments. That Node
 * comes from npm, into a folder of its own, since two packages of one name cannot both be installed here.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'

const VERSION = '26.10.0'
const PROCESSES = [
  'test/config',
  'test/supervisor',
  'test/worker',
  'test/event-bus',
  'test/storm',
  'test/dev',
  'test/faults/supervisor.test.ts',
]

const root = join(import.meta.dirname, '..')
const folder = join(root, 'node_modules', '.cache', `node-${VERSION}`)
const platform = `${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`
const node = join(folder, 'node_modules', `node-${platform}`, 'bin', 'node')

if (!existsSync(node)) {
  mkdirSync(folder, { recursive: true })
  execFileSync('npm', ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', `node-${platform}@${VERSION}`], {
    stdio: 'inherit',
  })
}
const given = process.argv.slice(2)
const { status } = spawnSync(node, [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...(given.length > 0 ? given : PROCESSES)], {
  cwd: root,
  stdio: 'inherit',
  // What tests start by name is that Node too.
  env: { ...process.env, PATH: `${join(node, '..')}:${process.env['PATH']}` },
})
process.exitCode = status ?? 1
