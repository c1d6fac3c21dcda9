/** What a program finds around it when it runs under the supervisor, and does not when it runs alone. */

/** Environment variable with the bus URL of the whole unit; children and the scripts they start inherit it. */
export const BUS_URL_VARIABLE = 'OMNIBUS_BUS_URL'

/** Diagnostics channel for the path of a file that counts as loaded though it is no module: under `dev` its change reloads. */
export const WATCH_CHANNEL = 'omnibus:watch'

/** The registered symbol under which a host stands on `globalThis`, set before the entry loads. */
export const HOST_SYMBOL = 'omnibus.host'

export interface Host {
  /** Closed by the host when the unit stops, after the last request or delivery is done. */
  register(resource: HostedResource): void
  /** Absent where the config names no module to preload. */
  readonly preloaded?: Preloaded
}

/** What the `preload` module of a unit has made. */
export interface Preloaded {
  readonly value: unknown
}

/** The host of this thread, if it has one. */
export function currentHost(): Host | undefined {
  return Reflect.get(globalThis, Symbol.for(HOST_SYMBOL)) as Host | undefined
}

export interface HostedResource {
  /** What it needs is connected; part of the unit's readiness. */
  readonly connected: boolean
  /** Its user has closed it; it counts no more. */
  readonly closed: boolean
  /** Connects before it is first used. Rejects with `ConnectionError` at a deadline of its own. */
  ready?(): Promise<void>
  /** Flushes and closes, by the deadline. */
  close(options: { readonly deadlineMs: number }): Promise<void>
}
