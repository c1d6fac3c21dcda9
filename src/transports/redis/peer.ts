/** npm's `redis`. */
import { loadPeer, type Peer, requirePeer } from '../../core/peer.ts'

const REDIS: Peer = { name: 'redis', neededFor: 'A redis: URL' }

/** Rejects with `MissingPeerError`. */
export const loadRedis = () => loadPeer(REDIS, () => import('redis'))

/** Throws `MissingPeerError`. */
export const requireRedis = (): void => requirePeer(REDIS)
