/** Entry of every child: `node main.js ROLE`, with an IPC channel to the master and its label in OMNIBUS_UNIT. */
import type { WorkerRole } from '../supervisor/protocol.ts'
import { openChannel } from './channel.ts'
import { runChild } from './child.ts'
import { enableOwnCompileCache } from './compile-cache.ts'
import { createLog } from './log.ts'
import { tellOutput } from './output.ts'
import type { RoleHost } from './unit.ts'
import { withWorkerHooks } from './worker-hooks.ts'

const uncached = enableOwnCompileCache()

// Imported on demand: the broker must not pay for the web host, nor anybody for the broker.
const roles: Readonly<Record<WorkerRole, () => Promise<RoleHost>>> = {
  config: async () => (await import('./config.ts')).configHost(),
  broker: async () => (await import('./broker.ts')).brokerHost(),
  gateway: async () => (await import('./gateway/host.ts')).gatewayHost(),
  forward: async () => (await import('./forward/host.ts')).forwardHost(),
  consumers: async () => withWorkerHooks((await import('./consumers/host.ts')).consumersHost()),
  web: async () => withWorkerHooks((await import('./web/host.ts')).webHost()),
}

const isRole = (name: string): name is WorkerRole => Object.hasOwn(roles, name)

const role = process.argv[2] ?? ''
if (!isRole(role)) throw new Error(`main.js ROLE: expected one of ${Object.keys(roles).join(', ')}, got "${role}"`)

process.title = `omnibus ${process.env['OMNIBUS_UNIT'] ?? role}`
const log = createLog(process.env['OMNIBUS_UNIT'] ?? role)
const channel = openChannel()
tellOutput(channel)
runChild(await roles[role](), channel, log, uncached)
