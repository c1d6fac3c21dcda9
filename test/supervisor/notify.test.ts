/** What systemd is told: its own program speaks to a socket like systemd's. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { run } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { house } from './house.ts'

/** Node cannot listen for datagrams on a unix socket. */
const LISTENER = `
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind('notify.sock')
print('listening', flush=True)
while True:
    print(' '.join(s.recv(4096).decode().split()), flush=True)
`
const possible = existsSync('/usr/bin/systemd-notify') && existsSync('/usr/bin/python3')

test.runIf(possible)('readiness, reloads and the stop are told, and no child may speak for the service', async () => {
  const folder = tempDir('notify')
  await using listener = run('/usr/bin/python3', ['-c', LISTENER], { cwd: folder, label: 'systemd' })
  await listener.line('listening')
  await using h = await house({ env: { NOTIFY_SOCKET: join(folder, 'notify.sock') } })
  const { pid } = h.master
  await listener.line(`MAINPID=${pid} READY=1`)
  const { units } = await h.ready()
  expect(readFileSync(`/proc/${units[0]?.pid}/environ`, 'utf8')).not.toContain('NOTIFY_SOCKET')
  h.master.signal('SIGHUP')
  await listener.line(new RegExp(`MAINPID=${pid} RELOADING=1 MONOTONIC_USEC=\\d+`))
  await waitFor(() => listener.lines.filter((line) => line === `MAINPID=${pid} READY=1`).length === 2, { what: 'the end of the reload' })
  writeFileSync(join(h.folder, 'omnibus.config.ts'), 'export default {')
  h.master.signal('SIGHUP')
  await waitFor(() => listener.lines.filter((line) => line.endsWith('READY=1')).length === 3, { what: 'the refusal' })
  h.master.signal('SIGTERM')
  await listener.line('STOPPING=1')
  expect((await h.master.exit()).code).toBe(0)
})

test('where systemd-notify is missing, it is said and all goes on', async () => {
  await using h = await house({ env: { NOTIFY_SOCKET: '/nowhere', PATH: '/nowhere' } })
  await h.said(/systemd is not told: .*ENOENT/)
  await h.ready()
})
