/** How long a link waits before its next attempt. */
import type { ConnectionError } from './errors.ts'

/** Longest wait after a link that the host had taken, so at most four attempts a second. Milliseconds. */
const SOON_MS = 500
/** Shortest wait after a refusal for good, which only people change. Milliseconds. */
const REFUSED_MS = 5_000

export interface BackoffOptions {
  readonly minMs: number
  readonly maxMs: number
  /** Hosts that are tried in turn; the wait doubles once per pass over them. */
  readonly hosts: number
}

/** How an attempt ended. */
export interface Ended {
  readonly error: ConnectionError
  /** The host had let us in. */
  readonly opened: boolean
  /** The link had been up for a while. */
  readonly lived: boolean
}

export class Backoff {
  readonly #options: BackoffOptions
  /** Attempts in a row that no host took. */
  #unreached = 0
  /** Links in a row that broke young. */
  #cut = 0

  constructor(options: BackoffOptions) {
    this.#options = options
  }

  /**
   * Milliseconds to wait. A link that lived is followed at once. One that broke young is followed soon, however often, even when it broke
   * in the handshake: the network cuts, and the host is there. Hosts that cannot be reached or refuse us are asked less and less often.
   */
  after({ error, opened, lived }: Ended): number {
    const { minMs, maxMs } = this.#options
    const taken = (opened || error.cut) && !error.fatal
    this.#unreached = taken ? 0 : this.#unreached + 1
    this.#cut = taken && !lived ? this.#cut + 1 : 0
    if (lived && taken) return jitter(minMs)
    if (taken) return jitter(Math.min(this.#grown(this.#cut), SOON_MS))
    const ms = this.#grown(this.#unreached)
    return jitter(error.fatal ? Math.max(ms, Math.min(REFUSED_MS, maxMs)) : ms)
  }

  #grown(times: number): number {
    const { minMs, maxMs, hosts } = this.#options
    const pass = Math.floor((times - 1) / hosts)
    return Math.min(maxMs, minMs * 2 ** Math.min(pass, 20))
  }
}

/** Between half and the whole of `ms`, so that many clients do not come back in step. */
function jitter(ms: number): number {
  return ms / 2 + Math.random() * (ms / 2)
}
