/** Runs the fault matrix in its long form, or with `--short` in that of the tests, and writes what it reached into docs/reliability.md. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { placed, table } from '../test/faults/table.ts'

const root = join(import.meta.dirname, '..')
const page = join(root, 'docs', 'reliability.md')
const folder = mkdtempSync(join(tmpdir(), 'omnibus-faults-'))
const report = join(folder, 'rows')
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
const files = ['builtin', 'rabbitmq'].map((name) => `test/faults/${name}.test.ts`)
const { status } = spawnSync(process.execPath, [vitest, 'run', ...files], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, OMNIBUS_FAULTS_REPORT: report, OMNIBUS_FAULTS: process.argv.includes('--short') ? 'short' : 'long' },
})
const rows = existsSync(report) ? readFileSync(report, 'utf8') : ''
rmSync(folder, { recursive: true, force: true })
const about = `Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}, ${new Date().toISOString().slice(0, 10)}`
writeFileSync(page, placed(readFileSync(page, 'utf8'), table(rows), about))
process.exitCode = status ?? 1
