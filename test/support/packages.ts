/** Programs the tests need beside Node, from Debian's packages: found where they are, else installed when that is allowed. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Package → the file that shows it is installed. */
const marks = {
  'rabbitmq-server': '/usr/lib/rabbitmq/bin/rabbitmq-server',
  'redis-server': '/usr/bin/redis-server',
  // A folder for each version.
  postgresql: '/usr/lib/postgresql',
  chromium: '/usr/bin/chromium',
  ffmpeg: '/usr/bin/ffmpeg',
  'python3-pika': '/usr/lib/python3/dist-packages/pika/__init__.py',
  'python3-kombu': '/usr/lib/python3/dist-packages/kombu/__init__.py',
  'python3-redis': '/usr/lib/python3/dist-packages/redis/__init__.py',
  'python3-boto3': '/usr/lib/python3/dist-packages/boto3/__init__.py',
  'python3-pycurl': '/usr/lib/python3/dist-packages/curl/__init__.py',
  'python3-celery': '/usr/lib/python3/dist-packages/celery/__init__.py',
  'python3-flask': '/usr/lib/python3/dist-packages/flask/__init__.py',
  gunicorn: '/usr/bin/gunicorn',
  strace: '/usr/bin/strace',
  wrk: '/usr/bin/wrk',
} as const

export type PackageName = keyof typeof marks

export const packageNames = Object.keys(marks) as PackageName[]

/** The file that shows the package, which for a program is the program itself. */
export const fileOf = (name: PackageName): string => marks[name]

export const missing = (names: readonly PackageName[] = packageNames): PackageName[] => names.filter((name) => !existsSync(marks[name]))

/** For `describe.runIf(have(...))`: the global setup has installed what it could, and has said aloud what is missing. */
export const have = (...names: PackageName[]): boolean => missing(names).length === 0

export type EnsureResult = { readonly missing: readonly PackageName[]; readonly why?: string }

/** Installs what is missing. Never throws: what could not be had is in the result, with the reason. */
export async function ensurePackages(names: readonly PackageName[] = packageNames): Promise<EnsureResult> {
  const wanted = missing(names)
  if (wanted.length === 0) return { missing: [] }
  if (!existsSync('/usr/bin/apt-get')) return { missing: wanted, why: 'this system has no apt-get' }
  if (process.getuid?.() !== 0) return { missing: wanted, why: `not root; run: sudo apt-get install ${wanted.join(' ')}` }
  process.stderr.write(`Installing ${wanted.join(', ')} from Debian's packages...\n`)
  try {
    await apt(wanted)
  } catch (error) {
    return { missing: missing(names), why: outputOf(error) }
  }
  return { missing: missing(names), why: 'apt-get succeeded but did not bring the files that were expected' }
}

async function apt(names: readonly PackageName[]): Promise<void> {
  // One at a time, also among test runs: apt fails at once where another holds its lists.
  const script = 'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"'
  await promisify(execFile)('flock', [join(tmpdir(), 'omnibus-apt.lock'), 'sh', '-c', script, 'apt', ...names], {
    maxBuffer: 64 << 20,
    // RUNLEVEL=1 keeps the package's scripts from starting a system-wide RabbitMQ.
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1', LC_ALL: 'C.UTF-8' },
  })
}

function outputOf(error: unknown): string {
  const { stdout = '', stderr = '', message = String(error) } = error as { stdout?: string; stderr?: string; message?: string }
  return `${message}\n${stdout}\n${stderr}`.trim().slice(-4000)
}
