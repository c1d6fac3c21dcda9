/** Starts the process that a `spawn` command asks for: one of ours in its role, or a command in any language. */
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ResolvedConfig } from '../config/types.ts'
import type { FileWatch } from './dev/watch.ts'
import type { Command, Event } from './events.ts'
import { startCommand } from './exec/command.ts'
import type { Guard } from './guard.ts'
import type { MasterLog } from './log.ts'
import { type Process, type ProcessEnd, startProcess } from './processes.ts'
import { BUS_URL_VARIABLE, busUrlOf, clientUrlOf, type FromChild, gatewayUrlOf, type Role } from './protocol.ts'
import type { Sockets } from './sockets.ts'
import { surroundingsOf } from './surroundings.ts'
import { listeningOf } from './units.ts'

export interface SpawnContext {
  /** What every child of ours runs. */
  readonly workerScript: string
  readonly guard: Guard
  readonly log: MasterLog
  /** `dev` only. */
  readonly watch: FileWatch | undefined
  readonly sockets: Sockets
  /** What it says, and its end. */
  readonly onEvent: (event: Event) => void
}

export function spawnProcess(command: Extract<Command, { type: 'spawn' }>, context: SpawnContext): Process {
  const { child, role, label, config, spec } = command
  const { workerScript: script, guard, log, watch, sockets, onEvent } = context
  const { env: own, ...identity } = surroundingsOf(role, config)
  const env = { ...process.env, ...own, OMNIBUS_UNIT: label, ...(config && { [BUS_URL_VARIABLE]: busUrlOf(config) }) }
  const options = {
    guard,
    onMessage: (message: FromChild, now = label) => {
      if (message.type === 'output') return log.ring.add(now, message.lines, message.missed)
      onEvent({ type: 'message', child, message })
      if (message.type === 'modules') watch?.add(message.files, message.at)
    },
    onExit: (exit: ProcessEnd) => onEvent({ type: 'exit', child, ...exit }),
  }
  if (spec !== undefined) {
    return startCommand(
      { spec, ...identity, env: { ...env, ...(config && clientEnvironment(config)) } },
      { ...options, write: (line, pid) => log.commandLine(label, pid, line) },
    )
  }
  return startProcess(
    {
      role,
      label,
      env,
      ...identity,
      listenFds: listens(role) && config ? sockets.of(listeningOf(config, role)).map(({ fd }) => fd) : [],
      preload: watch && loadsCode(role) ? workerScript('dev/main') : undefined,
    },
    { ...options, workerScript: script, onLine: log.childLine, onErrors: log.errors },
  )
}

const listens = (role: Role): boolean => role === 'web' || role === 'gateway'

/** Code of the user's, whose changes `dev` watches. */
const loadsCode = (role: Role): boolean => role === 'config' || role === 'consumers' || role === 'web'

/** What programs in other languages look for. A broker they cannot reach leaves theirs as it is. */
function clientEnvironment(config: ResolvedConfig): Readonly<Record<string, string>> {
  const [url, gateway] = [clientUrlOf(config), gatewayUrlOf(config)]
  return { ...(url !== undefined && { BUS_URL: url }), ...(gateway !== undefined && { OMNIBUS_GATEWAY: gateway }) }
}

/** Beside this file, in the sources as in the build. */
export function workerScript(name: string): string {
  return fileURLToPath(new URL(`../worker/${name}${extname(import.meta.filename)}`, import.meta.url))
}
