/** Optional peer dependencies: packages that are loaded when first used, and asked for by name where they are missing. */
import { MissingPeerError, messageOf } from './errors.ts'

export interface Peer {
  /** As npm knows it. */
  readonly name: string
  /** What the error begins with: `A redis: URL`. */
  readonly neededFor: string
}

/** What `load` imports. Rejects with `MissingPeerError` where the peer is not installed. */
export async function loadPeer<Module>(peer: Peer, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load()
  } catch (cause) {
    throw missing(peer, cause) ?? cause
  }
}

/** Throws `MissingPeerError`, and loads nothing. */
export function requirePeer(peer: Peer): void {
  try {
    import.meta.resolve(peer.name)
  } catch (cause) {
    const error = missing(peer, cause)
    // Whatever else is wrong with it is said best by its import.
    if (error) throw error
  }
}

/** A package that the peer itself lacks is another matter. */
function missing({ name, neededFor }: Peer, cause: unknown): MissingPeerError | undefined {
  const isMissing = Reflect.get(Object(cause), 'code') === 'ERR_MODULE_NOT_FOUND' && messageOf(cause).includes(`'${name}'`)
  return isMissing ? new MissingPeerError(name, neededFor, { cause }) : undefined
}
