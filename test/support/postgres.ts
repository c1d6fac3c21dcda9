/** A private PostgreSQL for tests: Debian's package on a port and in a folder of its own. Installs it when that is allowed. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { ensurePackages, fileOf, have } from './packages.ts'
import { freePort } from './ports.ts'
import { killMarked, MARK } from './processes.ts'
import { runName } from './run-folder.ts'
import { waitFor } from './wait.ts'

export interface PostgresServer {
  readonly url: string
  /** Starts it again after `crash`, with the same data and port. */
  start(): Promise<void>
  /** Ends it at once, without a word to its clients. */
  crash(): Promise<void>
  /** Ends it for good and removes its data. */
  [Symbol.asyncDispose](): Promise<void>
}

/** There is a PostgreSQL that a test may start and crash: for `describe.runIf`. */
export const hasOwnPostgres = (): boolean => have('postgresql')

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  // A power loss is not among the tests.
  fsync: 'off',
  shared_buffers: '16MB',
  max_connections: '100',
}

/** Starts a private PostgreSQL of one's own, whose user `postgres` needs no password. */
export async function startPostgres(): Promise<PostgresServer> {
  const { why } = await ensurePackages(['postgresql'])
  if (!hasOwnPostgres()) throw new Error(`no PostgreSQL to start: ${why}`)
  const port = await freePort()
  const mark = `${runName()}/${randomUUID()}`
  const user = unprivileged()
  // Not in the run's folder, into which that user may not look.
  const data = mkdtempSync(join(tmpdir(), 'omnibus-postgres-'))
  if (user) chownSync(data, user.uid, user.gid)
  const remove = (): void => {
    killMarked(mark)
    rmSync(data, { recursive: true, force: true, maxRetries: 5 })
  }
  process.once('exit', remove)
  const options = { cwd: data, env: { PATH: process.env['PATH'], LC_ALL: 'C', [MARK]: mark }, ...user }
  const initial = ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--no-sync', '--no-instructions']
  await promisify(execFile)(programOf('initdb'), initial, options)

  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  let server: ChildProcess | undefined
  const start = async (): Promise<void> => {
    const settings = Object.entries({ ...SETTINGS, port }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const child = spawn(programOf('postgres'), ['-D', data, ...settings], { ...options, stdio: 'ignore' })
    server = child
    await waitFor(
      async () => {
        if (child.exitCode !== null) throw new Error(`PostgreSQL ended with ${child.exitCode}`)
        const client = new pg.Client({ connectionString: url })
        client.on('error', () => undefined)
        await client.connect()
        await client.end()
        return true
      },
      { what: `PostgreSQL to answer on port ${port}` },
    )
  }
  const crash = async (): Promise<void> => {
    if (!server || server.exitCode !== null || server.signalCode !== null) return
    const exited = once(server, 'exit')
    // Immediate shutdown: unlike a SIGKILL it leaves no child behind that would keep the next one from starting.
    server.kill('SIGQUIT')
    await exited
  }
  await start()
  return {
    url,
    start,
    crash,
    async [Symbol.asyncDispose]() {
      await crash()
      process.removeListener('exit', remove)
      remove()
    },
  }
}

/** Of the newest version that is there. */
function programOf(name: string): string {
  const versions = readdirSync(fileOf('postgresql')).toSorted((a, b) => Number(b) - Number(a))
  return join(fileOf('postgresql'), versions[0] ?? '', 'bin', name)
}

/** PostgreSQL refuses to run as root: the user that its package has made. Undefined where we are none. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const [, uid, gid] = /^postgres:[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8')) ?? []
  if (uid === undefined || gid === undefined) throw new Error('no user postgres, as which PostgreSQL would run')
  return { uid: Number(uid), gid: Number(gid) }
}
