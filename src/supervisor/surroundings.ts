/** The user, working directory and environment of a child, as the config has them. */
import { chmodSync, chownSync, mkdirSync } from 'node:fs'
import type { ResolvedConfig } from '../config/types.ts'
import type { Role } from './protocol.ts'

/** For `spawn`, which leaves out of all groups but its own whoever it makes another user. */
export interface Surroundings {
  readonly uid?: number
  readonly gid?: number
  readonly cwd?: string
  readonly env: Readonly<Record<string, string | undefined>>
}

/** The child that reads the config, and may stay as the hook host, is the master's user, and learns the rest from what it reads. */
export function surroundingsOf(role: Role, config: ResolvedConfig | undefined): Surroundings {
  if (role === 'config' || !config) return { env: {} }
  const { uid, gid, chdir, env } = config.processes
  return { ...(uid !== undefined && { uid }), ...(gid !== undefined && { gid }), ...(chdir !== undefined && { cwd: chdir }), env }
}

/** Before anything is bound: the umask, and a folder for the built-in broker that its user can write. */
export function prepareSurroundings({ bus, processes: { uid, gid, umask } }: ResolvedConfig): void {
  if (umask !== undefined) process.umask(umask)
  if (!bus.builtin || uid === undefined || mkdirSync(bus.data, { recursive: true, mode: 0o700 }) === undefined) return
  chmodSync(bus.data, 0o700)
  chownSync(bus.data, uid, gid ?? uid)
}
