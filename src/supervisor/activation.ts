/** Sockets that a service manager has bound: sd_listen_fds(3). */

export interface Activation {
  /** As `fd://N`; empty where there is none. */
  readonly binds: readonly string[]
  /** Why sockets that were offered are not taken. */
  readonly problem?: string
}

const FIRST_FD = 3

/** Takes the variables away, since they are for this process and none of its children. */
export function takeActivation(env: NodeJS.ProcessEnv): Activation {
  const { LISTEN_FDS: count, LISTEN_PID: pid } = env
  for (const name of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) delete env[name]
  if (count === undefined || pid === undefined) return { binds: [] }
  if (Number(pid) !== process.pid) {
    return {
      binds: [],
      problem: `LISTEN_FDS is for process ${pid}, not for this one (${process.pid}): start node itself, without npm or a shell`,
    }
  }
  return { binds: Array.from({ length: Number(count) || 0 }, (_, index) => `fd://${FIRST_FD + index}`) }
}
