/** The timeouts of the config, for servers that have none of their own. */
import type { Server } from 'node:net'

export interface WebTimeouts {
  readonly keepAliveTimeoutMs: number
  readonly headersTimeoutMs: number
  readonly requestTimeoutMs: number
}

/** What Node gives a server whose author said nothing. Milliseconds. */
export const NODE_TIMEOUTS: WebTimeouts = Object.freeze({ keepAliveTimeoutMs: 5_000, headersTimeoutMs: 60_000, requestTimeoutMs: 300_000 })

/** A timeout that is not Node's default was set by the app, or its framework, and stays. */
export function applyTimeouts(server: Server, given: WebTimeouts): void {
  for (const name of Object.keys(NODE_TIMEOUTS) as (keyof WebTimeouts)[]) {
    const property = name.slice(0, -'Ms'.length)
    if (Reflect.get(server, property) === NODE_TIMEOUTS[name]) Reflect.set(server, property, given[name])
  }
}
