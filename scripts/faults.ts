/**
 * Runs the faults in their long form, or with `--short` in that of the tests, and writes what they reached into
 * docs/reliability.md. `npm run faults -- F34 F36` runs these alone, and keeps the other rows.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { numberOf, type Reported, withRows } from '../test/faults/table.ts'

const root = join(import.meta.dirname, '..')
const page = join(root, 'docs', 'reliability.md')
const { values, positionals: wanted } = parseArgs({ options: { short: { type: 'boolean', default: false } }, allowPositionals: true })
const wrong = wanted.filter((name) => !/^F\d+$/.test(name))
if (wrong.length > 0) fail(`${wrong.join(', ')}: expected faults by their numbers, such as F34 F36, or none for all`)

const folder = mkdtempSync(join(tmpdir(), 'omnibus-faults-'))
const report = join(folder, 'rows')
const files = [
  'storm/storm',
  'faults/builtin',
  'faults/rabbitmq',
  'faults/redis',
  'redis/sentinel',
  'faults/sqs',
  'faults/store',
  'faults/supervisor',
].map((name) => `test/${name}.test.ts`)
const chosen = wanted.length === 0 ? [] : ['-t', `\\b(${wanted.join('|')}) `]
const { status } = run('vitest/vitest.mjs', ['run', ...files, ...chosen])
const lines = existsSync(report) ? readFileSync(report, 'utf8').trim().split('\n') : []
rmSync(folder, { recursive: true, force: true })
const reported = lines.map((line) => JSON.parse(line) as Reported)
const without = wanted.filter((name) => !reported.some(({ fault }) => numberOf(fault) === numberOf(name)))
if (reported.length === 0 || without.length > 0)
  fail(`no run of ${without.join(', ') || 'any fault'}: it is not among the tests, or cannot be tested here`)
const machine = `Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}`
const day = new Date().toISOString().slice(0, 10)
writeFileSync(page, withRows(readFileSync(page, 'utf8'), reported, { day, machine, keep: wanted.length > 0 }))
run('oxfmt/bin/oxfmt', [page])
process.exitCode = status ?? 1

function run(program: string, args: readonly string[]) {
  return spawnSync(process.execPath, [join(root, 'node_modules', program), ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, OMNIBUS_FAULTS_REPORT: report, OMNIBUS_FAULTS: values.short ? 'short' : 'long' },
  })
}

function fail(why: string): never {
  process.stderr.write(`${why}\n`)
  process.exit(1)
}
