/**
 * Makes a bound socket listen without accepting from it, so that nobody else can have its address and whoever connects
 * waits until the first worker accepts. Node has no call for it (its servers accept as soon as their event loop turns),
 * so it is done by a process that ends before its loop has: what listens is the socket that both of them hold.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { getSystemErrorMap } from 'node:util'

/** `exit` runs in the same turn as `listen`, but after its error, which is told as the exit code. */
const SCRIPT = `
const { createServer } = require('node:net')
createServer().on('error', ({ errno }) => process.exit(-errno)).listen({ fd: 3, backlog: Number(process.argv[1]) })
process.nextTick(() => process.exit(0))
`

/** Listening once more only changes the backlog. Rejects with the system's error, `code` and all. */
export async function listenOn(fd: number, backlog: number): Promise<void> {
  const helper = spawn(process.execPath, ['-e', SCRIPT, String(backlog)], { stdio: ['ignore', 'ignore', 'ignore', fd], env: {} })
  const [exitCode] = (await once(helper, 'exit')) as [number | null]
  if (exitCode === 0) return
  const [code = 'UNKNOWN', text = `the helper that listens ended with ${exitCode}`] = getSystemErrorMap().get(-(exitCode ?? 0)) ?? []
  throw Object.assign(new Error(`${code}: ${text}`), { code })
}
